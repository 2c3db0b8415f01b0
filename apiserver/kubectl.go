package main

import (
	"os"
	"runtime/debug"

	"k8s.io/component-base/cli"
	"k8s.io/component-base/logs"
	kubectl "k8s.io/kubectl/pkg/cmd"
	kubectlutil "k8s.io/kubectl/pkg/cmd/util"
)

// runKubectl is kubectl under our roof, so that users need no other binary.
func runKubectl(args []string) int {
	// cobra and kubectl's plugin lookup read os.Args.
	os.Args = append([]string{"kubectl"}, args...)
	_, _ = logs.GlogSetter(kubectl.GetLogVerbosity(os.Args))
	if err := cli.RunNoErrOutput(kubectl.NewDefaultKubectlCommand()); err != nil {
		kubectlutil.CheckErr(err)
	}
	return 0
}

// versionLine names this build and the Kubernetes release that it embeds.
func versionLine() string {
	heddle, kube := "devel", "unknown"
	if info, ok := debug.ReadBuildInfo(); ok {
		if info.Main.Version != "" {
			heddle = info.Main.Version
		}
		for _, dep := range info.Deps {
			if dep.Path == "k8s.io/kubernetes" {
				kube = dep.Version
			}
		}
	}
	return "heddle-apiserver " + heddle + " (Kubernetes " + kube + ")"
}
