package image

import "time"

// Need says what one review must know about one image.
type Need struct {
	Image  string // as written in the manifest
	Digest bool   // the digest that the tag stands for
	Config bool   // what every platform's configuration says; the digest comes with it
	UID    bool   // also the uid behind a USER that is a name, which costs reading layers; implies Config
	Fresh  bool   // the tag is asked for anew unless that was done within the last second: somebody wants to see it move
}

func (n Need) inspects() bool { return n.Config || n.UID }
func (n Need) resolves() bool { return n.Digest || n.inspects() }

// and is what n and o ask for together.
func (n Need) and(o Need) Need {
	return Need{
		Image: n.Image, Digest: n.Digest || o.Digest, Config: n.Config || o.Config,
		UID: n.UID || o.UID, Fresh: n.Fresh || o.Fresh,
	}
}

// Facts answers needs, by image as written. A nil map means that no registry was asked (the CLI without --online): a rule that
// needs one skips and says so.
type Facts map[string]Fact

// Fact is what is known about one image. It is shared between reviews: do not modify what it points to.
type Fact struct {
	Image     string    // as written
	Reference Reference // zero if Image is not a reference
	Digest    string    // sha256:..., of the index where there is one; empty when not asked for or not known

	// Platforms are the runnable platforms, in the order of the index; nil unless Config was asked for and Err is nil, and then at
	// least one.
	Platforms []Platform

	// Stale is how old the digest is, when the registry did not answer and a former answer stands in; else 0.
	Stale time.Duration

	// Err is an *Error when something that was asked for is missing. Digest can be set beside it: the tag was resolved and the
	// contents could not be read.
	Err error
}

// UnknownUID is the uid of a USER that is not known to be any number.
const UnknownUID int64 = -1

// Platform is one runnable platform of an image, from a configuration whose bytes match the digest.
type Platform struct {
	OS, Architecture, Variant string // each up to 32 of a-z, 0-9, '.', '_' and '-'; can be empty

	// Selected: a node runs it only if it matches: it is named by an index; a single manifest runs anywhere, whatever its
	// configuration says. False too for an entry of an index without a platform, which CRI-O runs where nothing else fits.
	Selected bool

	// User is USER as in the image, cut after 64 bytes; empty means root. It can hold any bytes: quote it.
	User string
	// UID is the uid that User stands for: 0 for none, for root and for a numeric 0 in any spelling. UnknownUID if User is a name and
	// UID was not asked for, or for the reason in UIDErr. It means nothing on Windows.
	UID int64
	// UIDErr is an *Error saying why UID is unknown; nil if the name was not looked up because UID was not asked for.
	UIDErr error

	Env          []string          // NAME=value, as in the image
	Entrypoint   []string          // argv; a shell form comes with its shell
	Cmd          []string          // what follows Entrypoint, or is the argv where there is none
	Labels       map[string]string // as in the image; any text
	ExposedPorts []Port            // sorted by number, then protocol
	Healthcheck  *Healthcheck

	// NoHealthcheck: the image says HEALTHCHECK NONE, which is more than saying nothing.
	NoHealthcheck bool
	// NoShell: the image is known to have no /bin/sh. That is known only where all its layers were read, to find the uid behind a name;
	// false says nothing.
	NoShell bool
}

// String is os/architecture, and /variant where there is one.
func (p Platform) String() string {
	if p.Variant == "" {
		return p.OS + "/" + p.Architecture
	}
	return p.OS + "/" + p.Architecture + "/" + p.Variant
}

// Port is one EXPOSE of an image.
type Port struct {
	Number   int32  // 1 to 65535
	Protocol string // TCP, UDP or SCTP, as Kubernetes spells them
}

// Healthcheck is the HEALTHCHECK of an image: nil where it has none or says NONE, which Platform.NoHealthcheck tells apart. Zero durations and retries mean Docker's defaults.
type Healthcheck struct {
	Command       []string // argv; a shell form is already given to the image's SHELL, or the platform's default
	Interval      time.Duration
	Timeout       time.Duration
	StartPeriod   time.Duration
	StartInterval time.Duration
	Retries       int
}

// maxImages bounds the distinct images of one review, so that one object cannot make the webhook scan the network.
const maxImages = 64
