// Package pod runs injected pods as a kubelet would, without one: their containers as processes in network namespaces, with the users, arguments, files and probes that
// the injection wrote. Its tests need root.
package pod
