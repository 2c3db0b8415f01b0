// Package apis is heddled on two Kubernetes APIs: one with what users configure, one of a cluster with pods. Both are bin/heddle-apiserver, started by the tests; the
// cluster's knows none of Istio's kinds. Neither has Deployments, so that of a gateway's workloads the ServiceAccount and the Service are looked at; test/kube has pods.
package apis
