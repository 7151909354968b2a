package mutate

import (
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/portcullis-dev/portcullis/policies"
)

// collectorAnnotations are what a collector is told about a container that writes
// JSON: its documented annotations, of which none is set beside one that the user
// has set about the same.
//
// Promtail, Grafana Alloy and Vector are not among the collectors: the first two
// read what annotations their own configuration names, and those of Vector only
// take containers out (https://vector.dev/docs/reference/configuration/sources/kubernetes_logs/).
func collectorAnnotations(collector policies.LogCollector, container string) []annotation {
	switch collector {
	case policies.LogCollectorFluentBit:
		// https://docs.fluentbit.io/manual/pipeline/filters/kubernetes#kubernetes-pod-annotations
		// What the parser does not understand is kept as it is.
		return []annotation{{fluentBitParser + "-" + container, "json"}}
	case policies.LogCollectorElastic:
		// https://www.elastic.co/docs/reference/beats/filebeat/configuration-autodiscover-hints,
		// with the values of https://www.elastic.co/docs/reference/ecs/logging/java/setup.
		prefix := elasticHints + "." + container + "/"
		return []annotation{
			{prefix + "json.overwrite_keys", "true"},
			{prefix + "json.add_error_key", "true"},
			{prefix + "json.expand_keys", "true"},
		}
	}
	return nil
}

type annotation struct{ key, value string }

const (
	fluentBitParser = "fluentbit.io/parser"
	elasticHints    = "co.elastic.logs"
)

// tellCollector sets the annotations that say what the container writes.
func (l *logger) tellCollector(runtimes []policies.Runtime, env imageEnv) {
	if l.settings.Collector == policies.LogCollectorDatadog {
		l.tellDatadog(runtimes)
		return
	}
	for _, runtime := range runtimes {
		if !runtime.Structured(l.container.Env, env) {
			continue
		}
		if !l.toldCollector() {
			l.annotate(collectorAnnotations(l.settings.Collector, l.container.Name), l.evidence(runtime))
		}
		return
	}
}

// toldCollector reports whether an annotation about the container's lines is set,
// for the container or for the whole pod.
func (l *logger) toldCollector() bool {
	for key := range l.workload.Template.Annotations {
		switch l.settings.Collector {
		case policies.LogCollectorFluentBit: // fluentbit.io/parser[_stream][-container]
			rest, ok := strings.CutPrefix(key, fluentBitParser)
			rest = strings.TrimPrefix(strings.TrimPrefix(rest, "_stdout"), "_stderr")
			if ok && (rest == "" || rest == "-"+l.container.Name) {
				return true
			}
		case policies.LogCollectorElastic:
			rest, ok := strings.CutPrefix(key, elasticHints)
			rest = strings.TrimPrefix(rest, "."+l.container.Name)
			if ok && strings.HasPrefix(rest, "/") && rest != "/enabled" {
				return true
			}
		}
	}
	return false
}

// tellDatadog names the source of the container's logs, by which Datadog finds their
// parser (https://docs.datadoghq.com/containers/kubernetes/log/). The service is left
// to the agent, which takes it from the pod's labels. Runtimes with different sources
// are no evidence.
func (l *logger) tellDatadog(runtimes []policies.Runtime) {
	var known *policies.Runtime
	for i := range runtimes {
		switch r := &runtimes[i]; {
		case r.DatadogSource == "":
		case known != nil && known.DatadogSource != r.DatadogSource:
			return
		case known == nil:
			known = r
		}
	}
	key := "ad.datadoghq.com/" + l.container.Name + ".logs"
	if _, set := l.workload.Template.Annotations[key]; set || known == nil {
		return
	}
	l.annotate([]annotation{{key, fmt.Sprintf(`[{"source":%q}]`, known.DatadogSource)}}, l.evidence(*known))
}

// annotate leaves out what a long name of a container makes too long a key: the API
// server would refuse the workload.
func (l *logger) annotate(annotations []annotation, evidence string) {
	for _, a := range annotations {
		if len(validation.IsQualifiedName(a.key)) > 0 {
			continue
		}
		l.SetTemplateAnnotation(l.workload, a.key, a.value, Reason{Rule: LoggingRule, Container: l.container.Name, Evidence: evidence})
	}
}
