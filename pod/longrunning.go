package pod

import corev1 "k8s.io/api/core/v1"

// LongRunning reports whether a container is there to stay: a regular one of a pod
// that is started again whenever it ends. A Job's pods are not, and need no look at
// who owns them: the API server lets a Job have no pod that is always restarted
// (validateJobSpec in k8s.io/kubernetes/pkg/apis/batch/validation).
//
// A sidecar runs as long as its pod does, and serves the other containers rather
// than who asks for the workload: it is not meant here.
func (c Container) LongRunning() bool {
	return c.Type == Regular && c.workload.restarts() && (c.RestartPolicy == nil || *c.RestartPolicy == corev1.ContainerRestartPolicyAlways)
}

// Stays reports whether a container has probes by the rules of the API server and
// is not expected to end: a long-running one, or a sidecar of such.
func (c Container) Stays() bool {
	return c.LongRunning() || c.Type == Sidecar && c.workload.restarts()
}

// restarts reports whether the workload's pods are started again whenever they end.
func (w *Workload) restarts() bool {
	if w.Kind.Name == "Job" || w.Kind.Name == "CronJob" {
		return false
	}
	return w.Spec.RestartPolicy == "" || w.Spec.RestartPolicy == corev1.RestartPolicyAlways
}
