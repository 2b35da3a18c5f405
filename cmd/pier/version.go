package main

import (
	"runtime"

	"github.com/spf13/cobra"
)

// version is set when a program is built with make.
var version = "devel"

func (p *program) versionCommand() *cobra.Command {
	return &cobra.Command{Use: "version", Short: "Print pier's version", Args: arguments(),
		RunE: func(*cobra.Command, []string) error {
			value := struct {
				Version string `json:"version"`
				Go      string `json:"go"`
			}{version, runtime.Version()}
			return p.print(value, func() string { return "pier " + value.Version + "\n" })
		}}
}
