package engine

import (
	"slices"
	"strings"

	"github.com/portcullis-dev/portcullis/mutate"
	"github.com/portcullis-dev/portcullis/pod"
	"github.com/portcullis-dev/portcullis/policies"
)

// checkAnnotation is the check of findings about annotations that nobody reads.
const checkAnnotation = "unknownAnnotation"

// annotationPrefix is that of what a workload tells Portcullis.
const annotationPrefix = "portcullis.dev/"

// annotations are those of a pod template that mean something. One of a probe may go
// on with a dot and the name of a container. It is never changed.
var annotations = []string{
	mutate.RefreshAnnotation,
	mutate.PinnedAnnotation,
	mutate.SkipAnnotation,
	BreakGlassAnnotation,
	probeAnnotation("readiness"),
	probeAnnotation("liveness"),
	probeAnnotation("startup"),
}

func probeAnnotation(kind string) string {
	return mutate.ProbeAnnotations + kind + mutate.ProbeAnnotationSuffix
}

// judgeAnnotations warns of annotations with our prefix that nobody reads: whoever
// wrote them believes that they do something.
func (p *Plan) judgeAnnotations(v *Verdict) {
	if p.Workload.Template == nil || len(p.matches) == 0 {
		return
	}
	var findings []pod.Finding
	for key := range p.Workload.Template.Annotations {
		if strings.HasPrefix(key, annotationPrefix) && !isAnnotation(key) {
			findings = append(findings, p.unknownAnnotation(key))
		}
	}
	slices.SortFunc(findings, func(a, b pod.Finding) int { return strings.Compare(a.Path.String(), b.Path.String()) })
	v.add(p.matches[0], policies.ModeWarn, findings)
}

func isAnnotation(key string) bool {
	name, container, ofContainer := strings.Cut(key[len(annotationPrefix):], ".")
	if ofContainer && (container == "" || !strings.HasSuffix(name, mutate.ProbeAnnotationSuffix)) {
		return false
	}
	return slices.Contains(annotations, annotationPrefix+name)
}

func (p *Plan) unknownAnnotation(key string) pod.Finding {
	name, container, ofContainer := strings.Cut(key[len(annotationPrefix):], ".")
	fix := "remove it, or use " + strings.Join(annotations, ", ")
	switch meant := pod.Nearest(annotationPrefix+name, annotations); {
	case meant == "":
	case !ofContainer:
		fix = "did you mean " + meant + "?"
	case container != "" && strings.HasSuffix(meant, mutate.ProbeAnnotationSuffix):
		fix = "did you mean " + meant + "." + container + "?"
	default:
		fix = "use " + meant + " without a container"
	}
	return pod.Finding{
		Rule: mutateSection, Check: checkAnnotation, Value: p.Workload.Template.Annotations[key],
		Path:    p.Workload.TemplatePath().Child("metadata").Child("annotations").Key(key),
		Message: "nobody reads this annotation", Fix: fix, Advisory: true,
	}
}
