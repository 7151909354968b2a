// Package image knows container images: how the kubelet reads their names, which digest a tag stands for, and what is inside them.
//
// It is the only part of Portcullis that talks to registries, and the name of a registry is written by whoever writes a pod.
// Without the care taken here the webhook, which runs inside the cluster with the cluster's credentials, becomes
//
//   - a proxy to the metadata service and to internal addresses (the dialer decides by the resolved address, see [Config]),
//   - a leak: pull secrets sent to a look-alike host, one tenant's answers given to another, a remote body in a public message,
//   - a lever to stop the cluster: a registry that redirects for ever, drips one byte a second, declares a gigabyte or answers 429
//     must cost its own images a bounded time, and nobody else's any.
//
// And with another grammar than the kubelet's, "skip what does not parse" becomes a bypass: [ParseReference] uses the kubelet's.
//
// [New] makes a [Registries] from a [Config]; [Registries.Gather] answers all that one review needs, in parallel, under its deadline.
package image
