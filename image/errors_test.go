package image

import (
	"errors"
	"io"
	"strings"
	"testing"
)

// Every reason has words of its own, and the cause is for the log only.
func TestErrorWords(t *testing.T) {
	ref, err := ParseReference("reg.example/app:v1")
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]Reason{}
	for _, r := range []Reason{
		TooManyImages, RefusedAddress, Unreachable, Timeout, Unavailable, RateLimited, Unauthorized, NotFound, Misbehaving,
		DigestMismatch, TooLarge, NotAnImage, InvalidUser, UserNotFound, PasswdUnreadable,
	} {
		err := (&failure{reason: r, err: io.ErrUnexpectedEOF}).about(ref)
		if other, ok := seen[err.Error()]; ok {
			t.Errorf("got the same words for %s and %s", r, other)
		}
		seen[err.Error()] = r
		if !strings.HasPrefix(err.Error(), `image "reg.example/app:v1" `) || strings.Contains(err.Error(), "EOF") || strings.Contains(err.Error(), "HOST") {
			t.Errorf("%s: got %s", r, err)
		}
		if !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%s: got no cause for the log", r)
		}
	}
}

func TestOutage(t *testing.T) {
	for r, want := range map[Reason]bool{
		Unreachable: true, Timeout: true, Unavailable: true, RateLimited: true, Misbehaving: true,
		InvalidReference: false, TooManyImages: false, RefusedAddress: false, Unauthorized: false, NotFound: false, DigestMismatch: false,
		TooLarge: false, NotAnImage: false, InvalidUser: false, UserNotFound: false, PasswdUnreadable: false,
	} {
		if got := r.Outage(); got != want {
			t.Errorf("%s: got %t, want %t", r, got, want)
		}
	}
}

func TestNoAnswer(t *testing.T) {
	for reason, want := range map[Reason]bool{
		Unreachable: true, Timeout: true, Unavailable: true, RateLimited: true, Misbehaving: true,
		RefusedAddress: true, Unauthorized: true, NotFound: true,
		InvalidReference: false, TooManyImages: false, DigestMismatch: false, TooLarge: false, NotAnImage: false,
		InvalidUser: false, UserNotFound: false, PasswdUnreadable: false,
	} {
		if got := reason.NoAnswer(); got != want {
			t.Errorf("%s: got %v, want %v", reason, got, want)
		}
	}
}
