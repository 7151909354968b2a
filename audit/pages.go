package audit

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const (
	// pageSize is how many objects are asked for at once, what controllers of
	// Kubernetes ask for.
	pageSize = 500
	// maxRestarts bounds how often one list begins anew.
	maxRestarts = 3
)

// Page asks for a part of a list.
type Page struct {
	// Path is that of the collection: /apis/apps/v1/deployments.
	Path string
	// Continue is what the page before ended with, empty for the first one.
	Continue string
	// Limit is how many objects the page may have.
	Limit int
	// Fields selects objects: metadata.name=portcullis. Empty: all.
	Fields string
	// MetadataOnly leaves out everything but metadata.
	MetadataOnly bool
}

// Pager reads pages of lists, as the JSON that an API server writes. Its errors
// are those of client-go. It is used by one goroutine at a time.
type Pager interface {
	Page(ctx context.Context, p Page) (io.ReadCloser, error)
}

// collector takes the objects of one list, each valid only during the call.
type collector func(object jsontext.Value) error

// list reads all pages of a collection. An API server forgets what a list was
// like after some minutes, and answers 410 to who wants to go on with it: it then
// says where to go on in the list as it is now, or the list begins anew, with a
// new collector.
func list(ctx context.Context, pager Pager, page Page, begin func() collector) error {
	collect := begin()
	page.Limit = pageSize
	for restarts := 0; ; {
		next, err := readPage(ctx, pager, page, collect)
		switch {
		case err == nil && next == "":
			return nil
		case err == nil:
			page.Continue = next
		case !apierrors.IsResourceExpired(err) && !apierrors.IsGone(err) || page.Continue == "" || restarts == maxRestarts:
			return err
		default:
			restarts++
			page.Continue = resumption(err)
			if page.Continue == "" {
				collect = begin()
			}
		}
	}
}

// resumption is where an API server lets an expired list go on, empty: nowhere.
// Objects that came or went meanwhile may be missed, and are seen by the next scan.
func resumption(err error) string {
	status, ok := err.(apierrors.APIStatus)
	if !ok {
		return ""
	}
	return status.Status().Continue
}

// readPage gives the objects of a page to collect and returns where the next one
// begins. It holds one object at a time.
func readPage(ctx context.Context, pager Pager, page Page, collect collector) (next string, err error) {
	body, err := pager.Page(ctx, page)
	if err != nil {
		return "", err
	}
	defer body.Close()
	// The API server writes what it has, and it is not ours to refuse.
	d := jsontext.NewDecoder(body, jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	fail := func(err error) (string, error) {
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		return "", fmt.Errorf("reading %s: %w", page.Path, err)
	}
	if err := begins(d, '{'); err != nil {
		return fail(err)
	}
	for d.PeekKind() != '}' {
		name, err := d.ReadToken()
		if err != nil {
			return fail(err)
		}
		switch name.String() {
		case "metadata":
			var m metav1.ListMeta
			if err := json.UnmarshalDecode(d, &m); err != nil {
				return fail(err)
			}
			next = m.Continue
		case "items":
			if err := readItems(d, collect); err != nil {
				return fail(err)
			}
		default:
			if err := d.SkipValue(); err != nil {
				return fail(err)
			}
		}
	}
	if _, err := d.ReadToken(); err != nil {
		return fail(err)
	}
	return next, nil
}

func readItems(d *jsontext.Decoder, collect collector) error {
	if d.PeekKind() == 'n' { // null: a list without items
		return d.SkipValue()
	}
	if err := begins(d, '['); err != nil {
		return err
	}
	for d.PeekKind() != ']' {
		object, err := d.ReadValue()
		if err != nil {
			return err
		}
		if err := collect(object); err != nil {
			return err
		}
	}
	_, err := d.ReadToken()
	return err
}

// begins reads the token that an object or an array begins with.
func begins(d *jsontext.Decoder, kind jsontext.Kind) error {
	token, err := d.ReadToken()
	if err != nil {
		return err
	}
	if token.Kind() != kind {
		return fmt.Errorf("got %s, want a list of objects", token.Kind())
	}
	return nil
}

// collectionPath is the path of a collection, of one namespace or, where that is
// empty, of all.
func collectionPath(group, version, resource, namespace string) string {
	parts := []string{"/apis", group, version}
	if group == "" {
		parts = []string{"/api", version}
	}
	if namespace != "" {
		parts = append(parts, "namespaces", namespace)
	}
	return strings.Join(append(parts, resource), "/")
}
