package mutate

import (
	"encoding/json"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/portcullis-dev/portcullis/image"
)

// TestProbesFromHealthcheck holds which HEALTHCHECK counts.
func TestProbesFromHealthcheck(t *testing.T) {
	container := func(image string) string {
		return `containers: [{name: a, image: ` + image + `, ports: [{name: http, containerPort: 80}]}]`
	}
	from := func(command, image string) []string {
		return []string{`a: containers[0].readinessProbe {"exec":{"command":[` + command + `]},"timeoutSeconds":30,"periodSeconds":30,"failureThreshold":3}, from the HEALTHCHECK of image "` + image + `"`}
	}
	port := []string{`a: containers[0].readinessProbe {"tcpSocket":{"port":"http"},` + readyTiming + `, from the port named "http"`}
	const shell = `"/bin/sh","-c","curl -f localhost"`
	for _, tc := range []probesCase{
		{name: "CMD", spec: container("healthy"), want: from(`"/healthy"`, "healthy"), needs: []string{"healthy"}},
		{name: "none", spec: container("silent"), want: port, needs: []string{"silent"}},
		{name: "NONE", spec: container("none"), needs: []string{"none"}},
		{name: "a shell", spec: container("shell"), want: from(shell, "shell"), needs: []string{"shell"}},
		{name: "no shell, by the layers", spec: container("shellless"), want: port, needs: []string{"shellless"}},
		{name: "no shell, by the policy", settings: "imagesWithoutShell: [docker.io/library/shell]", spec: container("shell"), want: port, needs: []string{"shell"}},
		{name: "no shell is needed", settings: "imagesWithoutShell: [docker.io/library/healthy]", spec: container("healthy"), want: from(`"/healthy"`, "healthy"), needs: []string{"healthy"}},
		{name: "an empty command", spec: container("empty"), want: port, needs: []string{"empty"}},
		{
			name: "an endless command", spec: container("endless"), needs: []string{"endless"},
			findings: []string{`healthcheck a containers[0].readinessProbe: no probe is derived from the HEALTHCHECK of image "endless", whose command is longer than 16384 bytes or 256 words`},
		},
		{
			name: "platforms that disagree", spec: container("healthy-on-amd64"), needs: []string{"healthy-on-amd64"},
			findings: []string{`healthcheck a containers[0].readinessProbe: no probe is derived from the HEALTHCHECK of image "healthy-on-amd64", which is another on linux/arm64 than on linux/amd64`},
		},
		{
			name: "platforms that disagree about NONE", spec: container("none-on-arm64"), needs: []string{"none-on-arm64"},
			findings: []string{`healthcheck a containers[0].readinessProbe: no probe is derived from the HEALTHCHECK of image "none-on-arm64", which is another on linux/arm64 than on linux/amd64`},
		},
		{name: "a platform for Windows does not count", spec: container("healthy-windows"), want: from(`"/healthy"`, "healthy-windows"), needs: []string{"healthy-windows"}},
		{
			name: "for Windows the others do not", spec: `os: {name: windows}, ` + container("healthy-windows"), needs: []string{"healthy-windows"},
			want: from(`"cmd","/S","/C","check"`, "healthy-windows"),
		},
		{name: "no platform counts", spec: container("windows-only"), want: port, needs: []string{"windows-only"}},
		{
			name: "with what restarts", settings: "livenessSources: [Healthcheck]", spec: container("healthy"), needs: []string{"healthy"},
			want: []string{
				from(`"/healthy"`, "healthy")[0],
				`a: containers[0].livenessProbe {"exec":{"command":["/healthy"]},"timeoutSeconds":30,"periodSeconds":30,"failureThreshold":6}, from the HEALTHCHECK of image "healthy"`,
				`a: containers[0].startupProbe {"exec":{"command":["/healthy"]},"timeoutSeconds":30,"periodSeconds":30,"failureThreshold":60}, from the HEALTHCHECK of image "healthy"`,
			},
		},
		{
			name: "with what restarts alone", settings: "livenessSources: [Healthcheck]", needs: []string{"healthy"},
			spec: `containers: [{name: a, image: healthy, readinessProbe: {tcpSocket: {port: 7}}, startupProbe: {tcpSocket: {port: 7}}}]`,
			want: []string{`a: containers[0].livenessProbe {"exec":{"command":["/healthy"]},"timeoutSeconds":30,"periodSeconds":30,"failureThreshold":6}, from the HEALTHCHECK of image "healthy"`},
		},
		{
			name: "ports restart nothing", settings: "livenessSources: [Healthcheck]", needs: []string{"silent"},
			spec: `containers: [{name: a, image: silent, readinessProbe: {tcpSocket: {port: 7}}, ports: [{name: http, containerPort: 80}]}]`,
		},
	} {
		t.Run(tc.name, tc.run)
	}
}

// TestProbesOfWhatTheImageDoesNotRun holds that a HEALTHCHECK does not speak for a
// container that runs something else than its image does of itself, and that no
// registry is asked only to say so.
func TestProbesOfWhatTheImageDoesNotRun(t *testing.T) {
	found := func(field, image string) []string {
		return []string{`healthcheck a containers[0].readinessProbe: no probe is derived from the HEALTHCHECK of image "` + image + `", which is for what the image runs of itself: the container sets ` + field}
	}
	for _, tc := range []probesCase{
		{name: "command", spec: `containers: [{name: a, image: healthy, command: [worker]}]`, findings: found("command", "healthy")},
		{name: "args", spec: `containers: [{name: a, image: healthy, args: [worker]}]`, findings: found("args", "healthy")},
		{name: "both", spec: `containers: [{name: a, image: healthy, command: [x], args: [worker]}]`, findings: found("command", "healthy")},
		{name: "neither, with nothing in them", spec: `containers: [{name: a, image: healthy, command: [], args: []}]`, want: []string{`a: containers[0].readinessProbe ` + healthyProbe + `, from the HEALTHCHECK of image "healthy"`}, needs: []string{"healthy"}},
		{
			name: "its own port speaks for it, whatever the registry says", spec: `containers: [{name: a, image: gone, command: [x], ports: [{name: http, containerPort: 80}]}]`,
			want: []string{`a: containers[0].readinessProbe {"tcpSocket":{"port":"http"},` + readyTiming + `, from the port named "http"`},
		},
		{name: "NONE is not about it either", spec: `containers: [{name: a, image: none, command: [x]}]`},
		{name: "nothing is said of an image without one", spec: `containers: [{name: a, image: silent, command: [x]}]`},
		{name: "nor of one that is not known", spec: `containers: [{name: a, image: gone, command: [x]}]`},
		{name: "nothing restarts it", settings: "livenessSources: [Healthcheck]", spec: `containers: [{name: a, image: healthy, command: [x], readinessProbe: {tcpSocket: {port: 7}}}]`},
		{
			name: "nothing restarts it beside its port", settings: "livenessSources: [Healthcheck]", spec: `containers: [{name: a, image: healthy, args: [x], ports: [{containerPort: 80}]}]`,
			want: []string{`a: containers[0].readinessProbe {"tcpSocket":{"port":80},` + readyTiming + `, from the only TCP port, 80`},
		},
		{name: "the HEALTHCHECK is no source", settings: "sources: [OnlyPort]", spec: `containers: [{name: a, image: healthy, command: [x]}]`},
	} {
		t.Run(tc.name, tc.run)
	}
}

// TestHealthcheckTiming holds what becomes of Docker's timing.
func TestHealthcheckTiming(t *testing.T) {
	const s = time.Second
	for _, tc := range []struct {
		name                         string
		check                        image.Healthcheck
		readiness, liveness, startup string // timeout/period/failures
	}{
		{"Docker's defaults", image.Healthcheck{}, "30/30/3", "30/30/6", "30/30/60"},
		{"all set", image.Healthcheck{Interval: 10 * s, Timeout: 2 * s, Retries: 5, StartPeriod: 60 * s, StartInterval: 3 * s}, "2/10/5", "2/10/10", "2/3/37"},
		{"start period without its interval", image.Healthcheck{Interval: 10 * s, Timeout: 2 * s, StartPeriod: 61 * s}, "2/10/3", "2/10/6", "2/5/19"},
		{"start period beside Docker's defaults", image.Healthcheck{StartPeriod: 5 * s}, "30/30/3", "30/30/6", "30/30/4"},
		{"rounded up", image.Healthcheck{Interval: 1500 * time.Millisecond, Timeout: time.Millisecond, Retries: 1}, "1/2/1", "1/2/2", "5/10/60"},
		{"a short interval shortens a timeout that nobody set", image.Healthcheck{Interval: 5 * s}, "5/5/3", "5/5/6", "5/10/60"},
		{"a timeout stretches the period", image.Healthcheck{Interval: 5 * s, Timeout: 20 * s}, "20/20/3", "20/20/6", "20/20/60"},
		{"negative", image.Healthcheck{Interval: -1, Timeout: -1, Retries: -1, StartPeriod: -1, StartInterval: -1}, "30/30/3", "30/30/6", "30/30/60"},
		{
			"endless",
			image.Healthcheck{Interval: math.MaxInt64, Timeout: math.MaxInt64, Retries: math.MaxInt, StartPeriod: math.MaxInt64, StartInterval: math.MaxInt64},
			"3600/3600/1000", "3600/3600/2000", "3600/3600/1001",
		},
	} {
		tc.check.Command = []string{"x"}
		timing := func(p any) string {
			data, err := json.Marshal(p)
			if err != nil {
				t.Fatal(err)
			}
			var probe struct{ TimeoutSeconds, PeriodSeconds, FailureThreshold json.Number }
			if err := json.Unmarshal(data, &probe); err != nil {
				t.Fatal(err)
			}
			return strings.Join([]string{probe.TimeoutSeconds.String(), probe.PeriodSeconds.String(), probe.FailureThreshold.String()}, "/")
		}
		want := []string{tc.readiness, tc.liveness, tc.startup}
		got := []string{timing(readinessOf(&tc.check)), timing(livenessOf(&tc.check)), timing(startupOf(&tc.check))}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tc.name, diff)
		}
	}
}

// TestUnexpanded expands as the kubelet does, and requires what was there before.
func TestUnexpanded(t *testing.T) {
	for _, word := range []string{
		"", "a", "$", "$$", "$$$", "$(A)", "$$(A)", "a$", "$a$(A)", "${A}", "$((1+2))", "kill -0 $(cat /run/pid) && test $$ -gt 1", "$(A", "x$$$(A)$", "$B$$C",
	} {
		written := unexpanded([]string{word})[0]
		if got := expand(written); got != word {
			t.Errorf("%q is written as %q, which the kubelet runs as %q", word, written, got)
		}
	}
	if got := unexpanded([]string{`curl "http://localhost:${PORT:-80}/"`})[0]; got != `curl "http://localhost:${PORT:-80}/"` {
		t.Errorf("got %q, want what needs no escape as it is", got)
	}
}

// expand is what the kubelet does with a word in the environment A=WRONG.
func expand(word string) string {
	var b strings.Builder
	for i := 0; i < len(word); i++ {
		rest := word[i+1:]
		switch closing := strings.IndexByte(rest, ')'); {
		case word[i] != '$' || rest == "":
			b.WriteByte(word[i])
		case rest[0] == '$':
			b.WriteByte('$')
			i++
		case rest[0] == '(' && closing >= 0 && rest[1:closing] == "A":
			b.WriteString("WRONG")
			i += closing + 1
		default:
			b.WriteString("$" + rest[:1])
			i++
		}
	}
	return b.String()
}
