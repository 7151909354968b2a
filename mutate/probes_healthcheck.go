package mutate

import (
	"errors"
	"fmt"
	"path"
	"reflect"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/portcullis-dev/portcullis/image"
	"github.com/portcullis-dev/portcullis/pod"
	"github.com/portcullis-dev/portcullis/policies"
)

// What Docker takes for what a HEALTHCHECK leaves out
// (https://docs.docker.com/reference/dockerfile/#healthcheck).
const (
	dockerInterval      = 30 * time.Second
	dockerTimeout       = 30 * time.Second
	dockerStartInterval = 5 * time.Second
	dockerRetries       = 3
)

// Bounds of what is taken over from an image, whose author is not the one who
// deploys it.
const (
	longestHealthcheck = 16 << 10 // bytes of the command
	mostHealthWords    = 256
	longestHealthTime  = time.Hour
	mostHealthRetries  = 1000
)

// fromHealthcheck is the HEALTHCHECK of the image as exec probes. decided is false
// where the image says nothing about its health, so that the next source is asked;
// it is true where it says that there is to be no probe, where it is not known what
// it says, and where it says different things on its platforms.
func (p prober) fromHealthcheck(facts image.Facts) (found proposal, decided bool, finding *pod.Finding) {
	fact, known := facts[p.container.Image]
	if !known || fact.Err != nil || len(fact.Platforms) == 0 {
		return found, true, p.notInspected(fact.Err)
	}
	platforms := fact.PlatformsFor(false)
	if p.workload.IsWindows() {
		platforms = slices.DeleteFunc(slices.Clone(fact.Platforms), func(p image.Platform) bool { return !p.IsWindows() })
	}
	if len(platforms) == 0 {
		return found, false, nil
	}
	first := platforms[0]
	for _, other := range platforms[1:] {
		if first.NoHealthcheck != other.NoHealthcheck || !reflect.DeepEqual(first.Healthcheck, other.Healthcheck) {
			return found, true, p.undecided(probeNotDerived, "no probe is derived from the HEALTHCHECK of image %q, which is another on %s than on %s",
				p.container.Image, other, first)
		}
	}
	check := first.Healthcheck
	switch {
	case first.NoHealthcheck:
		return found, true, nil
	case check == nil || len(check.Command) == 0 || check.Command[0] == "":
		return found, false, nil
	case needsShell(check.Command) && p.lacksShell(platforms):
		return found, false, nil
	case tooLong(check.Command):
		return found, true, p.undecided(probeNotDerived, "no probe is derived from the HEALTHCHECK of image %q, whose command is longer than %d bytes or %d words",
			p.container.Image, longestHealthcheck, mostHealthWords)
	}
	found.evidence = fmt.Sprintf("the HEALTHCHECK of image %q", p.container.Image)
	found.Readiness = readinessOf(check)
	if p.settings.MayRestart(policies.ProbeFromHealthcheck) {
		found.Liveness, found.Startup = livenessOf(check), startupOf(check)
	}
	return found, true, nil
}

// overrides is the field by which the container runs another program than its image
// does of itself, or that one in another way; empty where it does not. One image is
// often for both a web server and its worker, and only one of them listens where the
// HEALTHCHECK asks.
func (p prober) overrides() string {
	switch {
	case len(p.container.Command) > 0:
		return "command"
	case len(p.container.Args) > 0:
		return "args"
	default:
		return ""
	}
}

// missesHealthcheck reports whether the container could have had a probe of the
// HEALTHCHECK but for what it overrides, and has no port that gives it one.
func (p prober) missesHealthcheck() bool {
	if p.overrides() == "" || p.container.Image == "" || !p.settings.Uses(policies.ProbeFromHealthcheck) {
		return false
	}
	port, _ := p.telling()
	return port == nil
}

// overridden is the finding about a container for which the HEALTHCHECK of its image
// does not speak, where another rule made the image known.
func (p prober) overridden(facts image.Facts) *pod.Finding {
	if !p.missesHealthcheck() || !slices.ContainsFunc(facts[p.container.Image].Platforms, func(p image.Platform) bool { return p.Healthcheck != nil }) {
		return nil
	}
	return p.undecided(probeNotDerived, "no probe is derived from the HEALTHCHECK of image %q, which is for what the image runs of itself: the container sets %s",
		p.container.Image, p.overrides())
}

// readinessOf makes a probe that fails when Docker calls the container unhealthy.
// The period is no shorter than the timeout, since Kubernetes does not probe twice
// at once.
func readinessOf(h *image.Healthcheck) *corev1.Probe {
	timeout := seconds(h.Timeout, min(dockerTimeout, orDefault(h.Interval, dockerInterval)))
	return &corev1.Probe{
		ProbeHandler:     corev1.ProbeHandler{Exec: &corev1.ExecAction{Command: unexpanded(h.Command)}},
		PeriodSeconds:    max(seconds(h.Interval, dockerInterval), timeout),
		TimeoutSeconds:   timeout,
		FailureThreshold: retries(h),
	}
}

// livenessOf makes a probe that fails after twice the time: Docker only marks a
// container that is unhealthy, and a restart is for one that stays so.
func livenessOf(h *image.Healthcheck) *corev1.Probe {
	probe := readinessOf(h)
	probe.FailureThreshold *= 2
	return probe
}

// startupOf makes a probe that waits as long as Docker does: for the start period,
// in which nothing counts, and the retries after it. Without a start period the
// image does not say how long it starts, and gets what startupFor gives.
func startupOf(h *image.Healthcheck) *corev1.Probe {
	probe := readinessOf(h)
	if h.StartPeriod <= 0 {
		return startupFor(probe)
	}
	budget := int64(seconds(h.StartPeriod, 0)) + int64(probe.PeriodSeconds)*int64(probe.FailureThreshold)
	probe.PeriodSeconds = max(seconds(h.StartInterval, dockerStartInterval), probe.TimeoutSeconds)
	period := int64(probe.PeriodSeconds)
	probe.FailureThreshold = int32((budget + period - 1) / period)
	return probe
}

// seconds are those of a duration, rounded up, or of another one where it is not
// set.
func seconds(d, unset time.Duration) int32 {
	d = min(orDefault(d, unset), longestHealthTime)
	return int32((d + time.Second - 1) / time.Second)
}

func orDefault(d, unset time.Duration) time.Duration {
	if d <= 0 {
		return unset
	}
	return d
}

func retries(h *image.Healthcheck) int32 {
	if h.Retries <= 0 {
		return dockerRetries
	}
	return int32(min(h.Retries, mostHealthRetries))
}

// unexpanded writes a command so that the kubelet runs it as it is. It takes
// $(NAME) in the command of a probe for a variable and $$ for an escaped $
// (ExpandContainerCommandOnlyStatic in k8s.io/kubernetes/pkg/kubelet/container),
// which in a HEALTHCHECK mean what its shell makes of them.
func unexpanded(command []string) []string {
	words := make([]string, len(command))
	for i, word := range command {
		if !strings.Contains(word, "$") {
			words[i] = word
			continue
		}
		var b strings.Builder
		for j := range len(word) {
			b.WriteByte(word[j])
			if word[j] == '$' && j+1 < len(word) && (word[j+1] == '$' || word[j+1] == '(') {
				b.WriteByte('$')
			}
		}
		words[i] = b.String()
	}
	return words
}

// needsShell reports whether a command is run by /bin/sh, or by the first sh of the
// PATH.
func needsShell(command []string) bool { return path.Base(command[0]) == "sh" }

// lacksShell reports whether the image is known to have no /bin/sh: by the policy,
// or by its layers where another rule had them read.
func (p prober) lacksShell(platforms []image.Platform) bool {
	if slices.ContainsFunc(platforms, func(p image.Platform) bool { return p.NoShell }) {
		return true
	}
	ref, err := image.ParseReference(p.container.Image)
	return err == nil && p.settings.WithoutShell(ref.Name())
}

func tooLong(command []string) bool {
	bytes := 0
	for _, word := range command {
		bytes += len(word)
	}
	return len(command) > mostHealthWords || bytes > longestHealthcheck
}

// notInspected is the finding about an image of which nothing is known.
func (p prober) notInspected(err error) *pod.Finding {
	var why *image.Error
	if !errors.As(err, &why) {
		f := p.undecided(probeUnknown, "no probe is added, since no registry was asked for the HEALTHCHECK of image %q", p.container.Image)
		f.NoAnswer = true
		return f
	}
	f := p.undecided(probeUnknown, "no probe is added, since the HEALTHCHECK of the image is not known: %s", why)
	f.NoAnswer = why.Reason.NoAnswer()
	return f
}
