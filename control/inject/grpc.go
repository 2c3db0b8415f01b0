package inject

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
)

// templateGRPC is Istio's template for programs whose gRPC library is their data plane: an agent beside them, and no proxy.
const templateGRPC = "grpc-agent"

const (
	bootstrapEnv = "GRPC_XDS_BOOTSTRAP"
	// The volume itself belongs to root: the agent makes a folder of its own in it, which the application reads.
	grpcDir       = workDir + "/grpc"
	bootstrapFile = grpcDir + "/grpc-bootstrap.json"
)

// grpcArgs are those of the agent.
func (b *builder) grpcArgs() []string {
	args := []string{templateGRPC, "--work-dir", grpcDir, "--shared"}
	args = append(args, b.identityArgs()...)
	for _, p := range unique([]string{portText(b.wants.statusPort), portText(readyPort)}) {
		args = append(args, "--status-address", ":"+p)
	}
	return args
}

func bootstrapMount() corev1.VolumeMount {
	return corev1.VolumeMount{Name: "istio-envoy", MountPath: workDir, ReadOnly: true}
}

// tellPrograms shows the application's containers where their bootstrap is. A container that says where it has its own keeps it.
func (b *builder) tellPrograms() {
	if !b.wants.grpc {
		return
	}
	for i := range b.pod.Spec.Containers {
		c := &b.pod.Spec.Containers[i]
		if slices.ContainsFunc(c.Env, func(e corev1.EnvVar) bool { return e.Name == bootstrapEnv }) {
			b.warn("spec.containers[%s] has %s already, and keeps it", c.Name, bootstrapEnv)
			continue
		}
		c.Env = append(c.Env, corev1.EnvVar{Name: bootstrapEnv, Value: bootstrapFile})
		c.VolumeMounts = append(c.VolumeMounts, bootstrapMount())
	}
}

// untellPrograms takes back what tellPrograms wrote.
func untellPrograms(spec *corev1.PodSpec) {
	for i := range spec.Containers {
		c := &spec.Containers[i]
		ours := func(e corev1.EnvVar) bool { return e.Name == bootstrapEnv && e.Value == bootstrapFile }
		if !slices.ContainsFunc(c.Env, ours) {
			continue
		}
		_, c.Env = part(c.Env, ours)
		_, c.VolumeMounts = part(c.VolumeMounts, func(m corev1.VolumeMount) bool { return m == bootstrapMount() })
	}
}
