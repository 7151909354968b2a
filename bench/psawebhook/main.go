// Psawebhook is upstream's webhook for the Pod Security Standards,
// k8s.io/pod-security-admission/cmd/webhook, built from the version in go.mod.
package main

import (
	"os"

	"k8s.io/component-base/cli"
	"k8s.io/pod-security-admission/cmd/webhook/server"
)

func main() { os.Exit(cli.Run(server.NewServerCommand())) }
