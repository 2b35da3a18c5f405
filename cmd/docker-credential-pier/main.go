// Command docker-credential-pier gives Docker's clients the credentials that the agent of their node lends.
package main

import (
	"os"

	"pierhead.dev/pierhead/credhelper"
	"pierhead.dev/pierhead/credhelper/docker"
)

// version is set when a program is built with make.
var version = "devel"

func main() {
	os.Exit(docker.Run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr, credhelper.Here(), version))
}
