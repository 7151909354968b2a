package image

import (
	"context"
	"errors"
	"net"
	"strconv"
	"strings"
	"time"
)

// Reason is why an image could not be judged: one word of a fixed list, fit for a metric label.
type Reason string

// The reasons. See [Reason.Outage] for what they have in common.
const (
	InvalidReference Reason = "InvalidReference" // the kubelet would refuse it too; no registry was contacted
	TooManyImages    Reason = "TooManyImages"    // one review asked for more distinct images than are looked up
	RefusedAddress   Reason = "RefusedAddress"   // the registry, or what it refers to, is at an address that is not allowed
	Unreachable      Reason = "Unreachable"      // DNS, TCP or TLS failed
	Timeout          Reason = "Timeout"          // no answer within the registry's timeout or the review's deadline
	Unavailable      Reason = "Unavailable"      // it said 503, or failed so often that it is given a pause
	RateLimited      Reason = "RateLimited"      // it said 429; it is not asked again before Retry-After
	Unauthorized     Reason = "Unauthorized"     // 401 or 403 with every credential that may be used
	NotFound         Reason = "NotFound"         // 404
	Misbehaving      Reason = "Misbehaving"      // an answer outside the protocol: status, redirects, broken JSON, truncation
	DigestMismatch   Reason = "DigestMismatch"   // the bytes do not hash to the digest they were asked by
	TooLarge         Reason = "TooLarge"         // more bytes or entries than are inspected
	NotAnImage       Reason = "NotAnImage"       // schema 1, an artifact, a nested index, no runnable platform
	InvalidUser      Reason = "InvalidUser"      // USER or its passwd entry has a uid outside 0 to 2147483647; USER is too long or has control characters
	UserNotFound     Reason = "UserNotFound"     // the image has no /etc/passwd, or no such name in it
	PasswdUnreadable Reason = "PasswdUnreadable" // /etc/passwd is a link, or is in a layer that is not in the registry
)

// Error says in fixed words, the image as written and its registry why there is no answer. Nothing that a registry sent is in its
// text, since messages, events and reports are read by people who must not see internal answers; Unwrap is for the debug log.
type Error struct {
	Reason Reason
	Image  string // as written
	Host   string // canonical registry; empty when none was involved

	detail string // fixed words that say more than the reason
	err    error
}

// Error is the user's message.
func (e *Error) Error() string {
	words := e.detail
	if words == "" {
		words = e.Reason.words()
	}
	return "image " + quote(e.Image) + " " + strings.ReplaceAll(words, "HOST", quote(e.Host))
}

// Unwrap is the cause. Its text can name internal addresses: it belongs in a log, not in a message.
func (e *Error) Unwrap() error { return e.err }

// words is the message of a reason; HOST stands for the registry.
func (r Reason) words() string {
	switch r {
	case TooManyImages:
		return "was not looked up: the object names more than " + strconv.Itoa(maxImages) + " different images"
	case RefusedAddress:
		return "cannot be looked up: registry HOST is at an address that may not be contacted; " +
			"the cluster admin can list it under allow in the RegistryConfig"
	case Unreachable:
		return "cannot be looked up: registry HOST cannot be reached"
	case Timeout:
		return "cannot be looked up: registry HOST did not answer in time"
	case Unavailable:
		return "cannot be looked up: registry HOST is unavailable and is asked again later"
	case RateLimited:
		return "cannot be looked up: registry HOST has reached its rate limit and is asked again later"
	case Unauthorized:
		return "cannot be looked up: registry HOST refused access; check the name and the imagePullSecrets"
	case NotFound:
		return "does not exist in registry HOST; check the name, the tag and the digest"
	case DigestMismatch:
		return "cannot be trusted: registry HOST sent content that does not match its digest"
	case TooLarge:
		return "is larger than what is inspected"
	case NotAnImage:
		return "is not a container image"
	case InvalidUser:
		return "has a USER whose uid is outside 0 to 2147483647; set a numeric USER"
	case UserNotFound:
		return "has a USER that its /etc/passwd does not name; set a numeric USER"
	case PasswdUnreadable:
		return "has an /etc/passwd that cannot be read from its layers; set a numeric USER"
	}
	return "cannot be looked up: registry HOST gave an answer that is not valid"
}

// Outage reports whether the registry decided nothing, it just was not there: then an older digest may stand in, and a policy's
// onRegistryError applies. The other reasons are answers, about the image or about who may have it.
func (r Reason) Outage() bool {
	switch r {
	case Unreachable, Timeout, Unavailable, RateLimited, Misbehaving:
		return true
	}
	return false
}

// NoAnswer reports whether a registry did not give the answer, so that the policy's onRegistryError decides. The other reasons are about
// the reference or about the image's own bytes, which whoever wrote them chose: letting them pass would be a way around the rules.
func (r Reason) NoAnswer() bool {
	return r.Outage() || r == RefusedAddress || r == Unauthorized || r == NotFound
}

// failure is an Error before it is known for which image: one request answers many.
type failure struct {
	reason Reason
	detail string
	err    error

	retryAfter time.Duration // of RateLimited
}

func (f *failure) Error() string { return string(f.reason) }
func (f *failure) Unwrap() error { return f.err }

// asError is f without the trap of a nil pointer in an error.
func (f *failure) asError() error {
	if f == nil {
		return nil
	}
	return f
}

// about is the Error for ref.
func (f *failure) about(ref Reference) error {
	return &Error{Reason: f.reason, Image: ref.String(), Host: ref.Registry(), detail: f.detail, err: f.err}
}

// asFailure sorts err into the vocabulary: what the transport says about itself, and everything else as a broken answer. No error
// is no failure.
func asFailure(err error) *failure {
	var f *failure
	var timeout net.Error
	switch {
	case err == nil:
		return nil
	case errors.As(err, &f):
		return f
	case errors.Is(err, errRefusedAddress):
		return &failure{reason: RefusedAddress, err: err}
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled), errors.As(err, &timeout) && timeout.Timeout():
		return &failure{reason: Timeout, err: err}
	}
	return &failure{reason: Misbehaving, err: err}
}

func invalidReference(s, detail string, err error) *Error {
	return &Error{Reason: InvalidReference, Image: s, detail: detail + "; write " + referenceForm, err: err}
}

// quote makes a value of a manifest safe to print: escaped, and cut where it would drown the message.
func quote(s string) string {
	const most = 256
	if len(s) > most {
		return strconv.Quote(s[:most]) + "..."
	}
	return strconv.Quote(s)
}
