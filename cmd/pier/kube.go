package main

import (
	"net"

	"github.com/spf13/cobra"

	"pierhead.dev/pierhead/agent"
	"pierhead.dev/pierhead/identity/kube"
)

// kubeConfig says whose service-account tokens a kubelet may bring along, and for which project they ask.
type kubeConfig struct {
	Tokens   kube.Config
	Projects []string // rules of agent.ParseKubeProjects
}

func (p *program) kubeFlags(c *cobra.Command, config *kubeConfig) {
	f := c.Flags()
	f.StringVar(&config.Tokens.Issuer, "kube-issuer", p.env("PIER_KUBE_ISSUER"), "issuer of the service-account tokens that this node's kubelet brings along (PIER_KUBE_ISSUER; in a pod: its cluster's; otherwise tokens are refused)")
	f.StringVar(&config.Tokens.Audience, "kube-audience", p.variable("PIER_KUBE_AUDIENCE", "pierhead"), "audience that those tokens must be for (PIER_KUBE_AUDIENCE)")
	f.StringVar(&config.Tokens.Keys, "kube-jwks", p.env("PIER_KUBE_JWKS"), "absolute path or address of the issuer's keys (PIER_KUBE_JWKS; where empty, the issuer is asked)")
	f.StringVar(&config.Tokens.CA, "kube-ca", p.env("PIER_KUBE_CA"), "PEM file with the authority of the issuer's certificate (PIER_KUBE_CA)")
	f.StringVar(&config.Tokens.BearerFile, "kube-token-file", p.env("PIER_KUBE_TOKEN_FILE"), "file with a token that the issuer wants to see before it shows its keys (PIER_KUBE_TOKEN_FILE)")
	f.StringSliceVar(&config.Projects, "kube-projects", splitList(p.variable("PIER_KUBE_PROJECTS", agent.DefaultKubeProjects)),
		`for which project a pod pulls, the first that fits: NAMESPACE[/SERVICEACCOUNT]=PROJECT, with * in names; PROJECT * is the one of the namespace's name, - none (PIER_KUBE_PROJECTS, with commas)`)
}

// door reads the configuration and asks nobody. kept is a file for the issuer's keys.
func (c kubeConfig) door(kept string, env func(string) string) (agent.KubeletDoor, error) {
	projects, err := agent.ParseKubeProjects(c.Projects)
	if err != nil {
		return agent.KubeletDoor{}, err
	}
	tokens := c.Tokens
	tokens.Kept = kept
	if host, port := env("KUBERNETES_SERVICE_HOST"), env("KUBERNETES_SERVICE_PORT"); host != "" && port != "" {
		tokens.APIServer = net.JoinHostPort(host, port)
	}
	if tokens.APIServer == "" && tokens.Issuer+tokens.Keys+tokens.CA+tokens.BearerFile == "" {
		return agent.KubeletDoor{Projects: projects}, nil
	}
	accounts, err := kube.New(tokens)
	if err != nil {
		return agent.KubeletDoor{}, err
	}
	return agent.KubeletDoor{Accounts: accounts, Projects: projects}, nil
}
