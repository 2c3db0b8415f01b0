// Package kube is the proof on a real cluster: Heddle is installed from its own images, pods are injected, and everything is taken out again. It needs the cluster of
// test/lab/cluster, and `make e2e-kube` starts it: go test ./test/kube -kubeconfig FILE -bin FOLDER.
package kube
