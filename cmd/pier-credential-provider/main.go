// Command pier-credential-provider gives the kubelet the credentials that the agent of its node lends.
package main

import (
	"os"

	"pierhead.dev/pierhead/credhelper"
	"pierhead.dev/pierhead/credhelper/kubelet"
)

// version is set when a program is built with make.
var version = "devel"

func main() {
	os.Exit(kubelet.Run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr, credhelper.Here().Lend, version))
}
