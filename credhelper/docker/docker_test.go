package docker

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"pierhead.dev/pierhead/credhelper"
	"pierhead.dev/pierhead/internal/doors"
)

// known is an agent that knows some hosts.
type known struct {
	loans map[string]doors.Loan
	hosts map[string]string
	err   error // of everything else
	wait  bool  // until there is no time left
	asked []doors.Ask
}

func (k *known) Lend(ctx context.Context, ask doors.Ask) (doors.Loan, error) {
	if k.asked = append(k.asked, ask); k.wait {
		<-ctx.Done()
		return doors.Loan{}, errors.New("the agent of this node did not answer in time")
	}
	if loan, ok := k.loans[ask.Host]; ok {
		return loan, nil
	}
	return doors.Loan{}, k.err
}

func (k *known) Hosts(context.Context) (map[string]string, error) { return k.hosts, k.err }

func none() error {
	return &credhelper.Refusal{Refusal: doors.Refusal{Reason: "no registry covers it", Hint: "pier registry add"}, None: true}
}

func run(agent Agent, in io.Reader, arguments ...string) (code int, out, errs string) {
	var stdout, stderr strings.Builder
	code = Run(arguments, in, &stdout, &stderr, agent, "v1.2.3")
	return code, stdout.String(), stderr.String()
}

// With this line, to the byte, clients go on without a credential.
func TestNotFoundIsTheProtocolsOwn(t *testing.T) {
	code, out, errs := run(&known{err: none()}, strings.NewReader("quay.io\n"), "get")
	if code != 1 || out != "credentials not found in native keychain\n" || !strings.Contains(errs, "quay.io: no registry covers it") || !strings.Contains(errs, "Hint: pier registry add") {
		t.Errorf("%d %q %q", code, out, errs)
	}
}

// What is known and went wrong is shown, in one line, and is not taken for "not found". It was on stdout only, which Docker's
// command line drops: its users saw a hint without a reason.
func TestWrongIsNotNotFound(t *testing.T) {
	agent := &known{err: &credhelper.Refusal{Refusal: doors.Refusal{Reason: "quay.io refuses\nthe login \x1b[31mof robot", Hint: "rotate it"}}}
	for _, verb := range []string{"get", "list"} {
		code, out, errs := run(agent, strings.NewReader("quay.io"), verb)
		if code != 1 || out != "pierhead: quay.io refuses the login [31mof robot\n" || errs != "docker-credential-pier: quay.io refuses the login [31mof robot\nHint: rotate it\n" {
			t.Errorf("%s: %d %q %q", verb, code, out, errs)
		}
	}
}

func TestGet(t *testing.T) {
	hard := doors.Loan{Username: `robot$"\`, Password: "p\u2028\n<é", Host: "docker.io", Warning: "it is for a part"}
	agent := &known{loans: map[string]doors.Loan{}, err: none()}
	for _, server := range []string{"https://index.docker.io/v1/", "docker.io", "QUAY.io:5000", "https://registry-1.docker.io/v2/", "quay.io/"} {
		agent.loans[server] = hard
		for _, in := range []string{server, server + "\n", "  " + server + "\r\n"} {
			code, out, errs := run(agent, strings.NewReader(in), "get")
			var answer struct{ ServerURL, Username, Secret string }
			if err := json.Unmarshal([]byte(out), &answer); err != nil || code != 0 || strings.Count(out, "\n") != 1 || !strings.HasSuffix(out, "\n") {
				t.Fatalf("%q: %d %q %v", in, code, out, err)
			}
			if answer.ServerURL != server || answer.Username != hard.Username || answer.Secret != hard.Password || !strings.Contains(errs, "warning: it is for a part") || strings.Contains(errs, hard.Password) {
				t.Errorf("%q: %+v, %q", in, answer, errs)
			}
			if ask := agent.asked[len(agent.asked)-1]; ask.Door != doors.Docker || ask.Host != server || ask.Image != "" {
				t.Errorf("asked %+v", ask)
			}
		}
	}
}

func TestGetWithoutAServer(t *testing.T) {
	for _, in := range []string{"", "\n", " \t\r\n"} {
		if code, out, _ := run(&known{err: none()}, strings.NewReader(in), "get"); code != 1 || out != "no credentials server URL\n" {
			t.Errorf("%q: %d %q", in, code, out)
		}
	}
	agent := &known{err: none()}
	if code, out, _ := run(agent, strings.NewReader(strings.Repeat("a", maxServer+1)), "get"); code != 1 || !strings.HasPrefix(out, "pierhead: the client asks for a server") || len(agent.asked) > 0 {
		t.Errorf("a long name: %d %q", code, out)
	}
	for name, in := range map[string]io.Reader{"too long": strings.NewReader(strings.Repeat("a", maxInput+1)), "broken": iotest.ErrReader(io.ErrClosedPipe)} {
		if code, out, _ := run(agent, in, "get"); code != 1 || !strings.HasPrefix(out, "pierhead: what the client asked for could not be read") || len(agent.asked) > 0 {
			t.Errorf("%s: %d %q", name, code, out)
		}
	}
}

func TestList(t *testing.T) {
	agent := &known{hosts: map[string]string{"quay.io": "", "docker.io": "me\"", "a.example.com:5000": ""}}
	code, out, _ := run(agent, strings.NewReader("unused"), "list")
	want := map[string]string{"quay.io": "", "https://index.docker.io/v1/": "me\"", "a.example.com:5000": ""}
	var got map[string]string
	if err := json.Unmarshal([]byte(out), &got); err != nil || code != 0 || !maps.Equal(got, want) {
		t.Errorf("%d %q %v", code, out, err)
	}
	if code, out, _ := run(&known{}, nil, "list"); code != 0 || out != "{}\n" {
		t.Errorf("nothing: %d %q", code, out)
	}
}

// A client that wants to keep or forget a login is told why that is not done, whatever it sends.
func TestStoreAndEraseRefuse(t *testing.T) {
	for verb, in := range map[string]string{"store": `{"ServerURL":"quay.io","Username":"me","Secret":"hunter2"}`, "erase": "quay.io"} {
		agent := &known{}
		code, out, errs := run(agent, strings.NewReader(in), verb)
		if code != 1 || !strings.HasPrefix(out, "pierhead: credentials are neither kept nor forgotten here") || strings.Count(out, "\n") != 1 || !strings.Contains(errs, "\nHint: ") || len(agent.asked) > 0 {
			t.Errorf("%s: %d %q %q", verb, code, out, errs)
		}
		if strings.Contains(out+errs, "hunter2") {
			t.Errorf("%s repeats the secret", verb)
		}
	}
}

func TestVersionAndUsage(t *testing.T) {
	for _, argument := range []string{"version", "--version", "-v"} {
		if code, out, errs := run(nil, nil, argument); code != 0 || out != "docker-credential-pier (pierhead.dev/pierhead) v1.2.3\n" || errs != "" {
			t.Errorf("%s: %d %q %q", argument, code, out, errs)
		}
	}
	for code, lists := range map[int][][]string{0: {{"help"}, {"--help"}, {"-h"}}, 1: {{}, {"get", "quay.io"}, {"GET"}, {""}, {"--get"}}} {
		for _, arguments := range lists {
			if got, out, _ := run(nil, nil, arguments...); got != code || !strings.HasPrefix(out, "Usage: docker-credential-pier") {
				t.Errorf("%q: %d %q", arguments, got, out)
			}
		}
	}
}

// Whatever hangs, the client has its answer within five seconds.
func TestWithinFiveSeconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begun := time.Now()
		code, out, _ := run(&known{wait: true}, strings.NewReader("quay.io"), "get")
		if took := time.Since(begun); code != 1 || out != "pierhead: the agent of this node did not answer in time\n" || took >= 5*time.Second || took <= doors.DockerWithin {
			t.Errorf("slow agent: %d %q after %v", code, out, took)
		}
		in, end := io.Pipe()
		begun = time.Now()
		code, out, _ = run(&known{}, in, "get")
		if took := time.Since(begun); code != 1 || !strings.Contains(out, "did not come to an end in time") || took >= 5*time.Second {
			t.Errorf("open stdin: %d %q after %v", code, out, took)
		}
		_ = end.Close()
	})
}

func TestStdoutThatNobodyReads(t *testing.T) {
	agent := &known{loans: map[string]doors.Loan{"quay.io": {Username: "a", Password: "b", Host: "quay.io"}}}
	if code := Run([]string{"get"}, strings.NewReader("quay.io"), broken{}, io.Discard, agent, ""); code != 1 {
		t.Errorf("exit code %d", code)
	}
}

type broken struct{}

func (broken) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }
