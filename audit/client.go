package audit

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strconv"

	"github.com/go-json-experiment/json"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
)

// The requests of a scan: about a hundred for ten thousand pods, and never so
// many at once that others notice.
const (
	requestsPerSecond = 10
	requestBurst      = 20
)

// Client is the Pager of an API server.
type Client struct{ rest *rest.RESTClient }

// NewClient returns a Client with a rate limit of its own: ten requests a second,
// twenty at first. A request that the API server puts off is sent again when the
// API server says so.
func NewClient(config *rest.Config) (*Client, error) {
	c := rest.CopyConfig(config)
	c.QPS, c.Burst, c.RateLimiter = requestsPerSecond, requestBurst, nil
	c.GroupVersion = &schema.GroupVersion{}
	scheme := runtime.NewScheme()
	metav1.AddToGroupVersion(scheme, schema.GroupVersion{Version: "v1"}) // has Status, in which errors come
	c.NegotiatedSerializer = serializer.NewCodecFactory(scheme).WithoutConversion()
	c.ContentType, c.AcceptContentTypes = runtime.ContentTypeJSON, runtime.ContentTypeJSON
	// Compressing and expanding costs both sides more than the bytes on a cluster's
	// own network do.
	c.DisableCompression = true
	made, err := rest.RESTClientFor(c)
	if err != nil {
		return nil, fmt.Errorf("connecting to the API server: %w", err)
	}
	return &Client{made}, nil
}

// Page asks for one page.
func (c *Client) Page(ctx context.Context, p Page) (io.ReadCloser, error) {
	request := c.rest.Get().AbsPath(p.Path)
	if p.Limit > 0 {
		request.Param("limit", strconv.Itoa(p.Limit))
	}
	if p.Continue != "" {
		request.Param("continue", p.Continue)
	}
	if p.Fields != "" {
		request.Param("fieldSelector", p.Fields)
	}
	if p.MetadataOnly {
		request.SetHeader("Accept", "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1")
	}
	return request.Stream(ctx)
}

// manager owns the fields of what is written.
const manager = "portcullis-audit"

// Apply creates or replaces an object, with a conflict for nobody: what others have
// written into its fields is overwritten. It returns the version that is stored.
func (c *Client) Apply(ctx context.Context, path string, object []byte) (resourceVersion string, err error) {
	data, err := c.rest.Patch(types.ApplyPatchType).AbsPath(path).
		Param("fieldManager", manager).Param("force", "true").Body(object).DoRaw(ctx)
	if err != nil {
		return "", fmt.Errorf("writing %s: %w", path, err)
	}
	h, err := readHeader(data)
	if err != nil {
		return "", fmt.Errorf("writing %s: %w", path, err)
	}
	return h.Metadata.ResourceVersion, nil
}

// Delete deletes an object, and is content where there is none.
func (c *Client) Delete(ctx context.Context, path string) error {
	err := c.rest.Delete().AbsPath(path).Do(ctx).Error()
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("deleting %s: %w", path, err)
	}
	return nil
}

// Serves reports whether the API server knows a resource of a group and version.
func (c *Client) Serves(ctx context.Context, group, version, resource string) (bool, error) {
	data, err := c.rest.Get().AbsPath("/apis", group, version).DoRaw(ctx)
	if apierrors.IsNotFound(err) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("asking for the resources of %s/%s: %w", group, version, err)
	}
	var list metav1.APIResourceList
	if err := json.Unmarshal(data, &list); err != nil {
		return false, fmt.Errorf("reading the resources of %s/%s: %w", group, version, err)
	}
	return slices.ContainsFunc(list.APIResources, func(r metav1.APIResource) bool { return r.Name == resource }), nil
}
