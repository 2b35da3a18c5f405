package main

import (
	"log/slog"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"pierhead.dev/pierhead/agent"
	"pierhead.dev/pierhead/internal/doors"
)

// socketConfig says where helpers of this machine ask the agent, and who may.
type socketConfig struct {
	Path  string // "none": nowhere; where empty, one of doors.Sockets
	Group string // that may ask beside root; agent.SocketGroup where empty and there is such a group
}

func (p *program) socketFlags(c *cobra.Command, config *socketConfig) {
	f := c.Flags()
	f.StringVar(&config.Path, "socket", p.env(doors.SocketVariable), `socket where helpers of this machine ask for credentials, or "none" (PIER_SOCKET; root: /run/pierhead/agent.sock, else $XDG_RUNTIME_DIR/pierhead/agent.sock)`)
	f.StringVar(&config.Group, "socket-group", p.env("PIER_SOCKET_GROUP"), "group that may ask there, beside root (PIER_SOCKET_GROUP; pierhead, where there is such a group)")
}

// listen takes the socket's place; nil where there is to be none, or no place for it, which is said.
func (c socketConfig) listen(log *slog.Logger) (*agent.Socket, error) {
	path := c.Path
	if path == "none" {
		return nil, nil
	}
	if path == "" {
		root := os.Geteuid() == 0
		if path = doors.Sockets(root, os.Getenv)[0]; !root && path == doors.SystemSocket {
			log.Warn("helpers of this machine cannot ask for credentials: XDG_RUNTIME_DIR is not set; say --socket PATH")
			return nil, nil
		}
	}
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	return agent.ListenSocket(path, c.Group)
}
