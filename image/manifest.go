package image

import (
	"cmp"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/types"
)

// acceptManifests are the kinds that a node can run. Schema 1 is not asked for; who sends it all the same is refused.
const acceptManifests = string(types.OCIImageIndex + "," + types.DockerManifestList + "," +
	types.OCIManifestSchema1 + "," + types.DockerManifestSchema2)

// descriptor points to content by its digest.
type descriptor struct {
	MediaType types.MediaType `json:"mediaType"`
	Digest    string          `json:"digest"`
	Size      int64           `json:"size"`
	Platform  *platformName   `json:"platform"`
}

// platformName is what an index or a configuration calls a platform.
type platformName struct {
	OS           string `json:"os"`
	Architecture string `json:"architecture"`
	Variant      string `json:"variant"`
}

// check refuses what no platform is called: these words reach messages, and whoever pushes an image writes them.
func (n platformName) check() error {
	for _, word := range []string{n.OS, n.Architecture, n.Variant} {
		if len(word) > maxPlatformWord || strings.Trim(word, "abcdefghijklmnopqrstuvwxyz0123456789._-") != "" {
			return notAnImage("has a platform whose os, architecture or variant is not up to 32 of a-z, 0-9, '.', '_' and '-'")
		}
	}
	return nil
}

// attestation reports whether n is what builders call the platform of an attestation.
func (n platformName) attestation() bool { return n.OS == unknown && n.Architecture == unknown }

// document is a manifest or an index: what the bytes are is decided by the bytes, which the digest covers, and not by a header,
// which can tell us another thing than it tells the node (CVE-2021-41190).
type document struct {
	SchemaVersion int             `json:"schemaVersion"`
	MediaType     types.MediaType `json:"mediaType"`
	Config        *descriptor     `json:"config"`
	Layers        []descriptor    `json:"layers"`
	Manifests     []descriptor    `json:"manifests"`
}

func errSchema1() error {
	return &failure{reason: NotAnImage, detail: "is in Docker's schema 1 format, which nodes do not run; push it again with a current tool"}
}

func errNestedIndex() error {
	return notAnImage("has an index inside an index, which is not inspected")
}

func notAnImage(detail string) error { return &failure{reason: NotAnImage, detail: detail} }

// parseDocument reads body with encoding/json, as containerd and CRI-O do: duplicate and differently cased keys mean the same here.
func parseDocument(body []byte) (document, error) {
	var doc document
	if err := json.Unmarshal(body, &doc); err != nil {
		return doc, &failure{reason: NotAnImage, err: err}
	}
	index, image := doc.Manifests != nil, doc.Config != nil || doc.Layers != nil
	switch {
	case doc.SchemaVersion == 1 || doc.MediaType.IsSchema1():
		return doc, errSchema1()
	case index && image:
		return doc, notAnImage("has a manifest that is an index and an image at once")
	case index && (doc.MediaType == "" || doc.MediaType.IsIndex()):
		return doc, nil
	case doc.Config == nil || doc.MediaType != "" && !doc.MediaType.IsImage():
		return doc, notAnImage("is not a container image: its manifest has another type")
	case !doc.Config.MediaType.IsConfig():
		return doc, notAnImage("is not a container image but another kind of artifact")
	case !validDigest(doc.Config.Digest) || doc.Config.Size <= 0:
		return doc, notAnImage("has a manifest with an invalid digest or size")
	case doc.Config.Size > maxConfig:
		return doc, &failure{reason: TooLarge}
	}
	return doc, nil
}

// runnable are the entries of an index that a node may choose. Attestations have the platform unknown/unknown, which no node
// asks for; the annotation that marks them is not looked at, since nodes do not look at it either. An entry without a platform is
// chosen by containerd by its configuration, and by CRI-O on any node when nothing else fits.
func (d document) runnable() ([]descriptor, error) {
	var all []descriptor
	for _, m := range d.Manifests {
		switch {
		case m.Platform != nil && m.Platform.attestation():
		case m.MediaType.IsIndex():
			return nil, errNestedIndex()
		case m.MediaType.IsSchema1():
			return nil, errSchema1()
		case !m.MediaType.IsImage() || !validDigest(m.Digest) || m.Size <= 0:
			return nil, notAnImage("has an entry in its index that is not an image")
		case m.Size > maxManifest || len(all) == maxChildren:
			return nil, &failure{reason: TooLarge}
		default:
			if m.Platform != nil && m.Platform.check() != nil {
				return nil, m.Platform.check()
			}
			all = append(all, m)
		}
	}
	return all, nil
}

const (
	unknown         = "unknown" // as os and architecture of an attestation
	maxChildren     = 64        // platforms of one image
	maxPlatformWord = 32        // bytes
)

// configFile is the part of an image configuration that matters here.
type configFile struct {
	platformName
	Config struct {
		User         string
		Env          []string
		Entrypoint   []string
		Cmd          []string
		Labels       map[string]string
		ExposedPorts map[string]struct{}
		Shell        []string
		Healthcheck  *struct {
			Test                                          []string
			Interval, Timeout, StartPeriod, StartInterval time.Duration // nanoseconds
			Retries                                       int
		}
	} `json:"config"`
}

// name is the platform, by the index where that names it; selected reports that it does. A configuration that leaves its os out
// contradicts nobody.
func (f *configFile) name(entry descriptor) (name platformName, selected bool, err error) {
	if err := f.check(); err != nil {
		return name, false, err
	}
	switch named := entry.Platform; {
	case named == nil && f.attestation():
		return name, false, notAnImage("is an attestation, or has one that its index does not call unknown/unknown")
	case named == nil:
		return f.platformName, false, nil
	case f.OS != "" && f.OS != named.OS:
		return name, false, notAnImage("has a configuration for another os than its index says")
	default:
		return *named, true, nil
	}
}

// platform is what the configuration says, under the name that the index gives it.
func (f *configFile) platform(entry descriptor) (Platform, error) {
	name, selected, err := f.name(entry)
	if err != nil {
		return Platform{}, err
	}
	p := Platform{
		OS: name.OS, Architecture: name.Architecture, Variant: name.Variant, Selected: selected,
		User: f.Config.User[:min(len(f.Config.User), maxUser)], Env: f.Config.Env,
		Entrypoint: f.Config.Entrypoint, Cmd: f.Config.Cmd,
		Labels: f.Config.Labels,
	}
	for s := range f.Config.ExposedPorts {
		if port, ok := parsePort(s); ok {
			p.ExposedPorts = append(p.ExposedPorts, port)
		}
	}
	slices.SortFunc(p.ExposedPorts, func(a, b Port) int {
		return cmp.Or(cmp.Compare(a.Number, b.Number), strings.Compare(a.Protocol, b.Protocol))
	})
	p.ExposedPorts = slices.Compact(p.ExposedPorts)
	p.Healthcheck = f.healthcheck()
	h := f.Config.Healthcheck
	p.NoHealthcheck = h != nil && len(h.Test) > 0 && h.Test[0] == "NONE"
	return p, nil
}

// parsePort reads 8080, 8080/tcp, 53/udp. Docker's ranges are written out by its builder.
func parsePort(s string) (Port, bool) {
	number, protocol, _ := strings.Cut(s, "/")
	protocol = strings.ToUpper(cmp.Or(protocol, "tcp"))
	n, err := strconv.ParseUint(number, 10, 16)
	if err != nil || n == 0 || !slices.Contains([]string{"TCP", "UDP", "SCTP"}, protocol) {
		return Port{}, false
	}
	return Port{Number: int32(n), Protocol: protocol}, true
}

func (f *configFile) healthcheck() *Healthcheck {
	h := f.Config.Healthcheck
	if h == nil || len(h.Test) < 2 {
		return nil
	}
	check := &Healthcheck{
		Interval: h.Interval, Timeout: h.Timeout, StartPeriod: h.StartPeriod, StartInterval: h.StartInterval, Retries: h.Retries,
	}
	switch h.Test[0] {
	case "CMD":
		check.Command = h.Test[1:]
	case "CMD-SHELL":
		shell := f.Config.Shell
		switch {
		case len(shell) > 0:
		case f.OS == "windows":
			shell = []string{"cmd", "/S", "/C"}
		default:
			shell = []string{"/bin/sh", "-c"}
		}
		check.Command = append(slices.Clone(shell), h.Test[1])
	default:
		return nil
	}
	return check
}
