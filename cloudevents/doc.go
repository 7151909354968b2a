// Package cloudevents tells one service outside the cluster, which the admin has
// named, what somebody should know about now: as CloudEvents 1.0 in structured mode
// over HTTP (https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/spec.md).
//
// Metrics say how many and logs say what, to those who look. Without this a chat, a
// ticket system or an event bus would have to read logs to learn that an exception
// has ended. What is outside must not harm what is inside, though: a sink that is
// slow, away or hostile costs a bounded queue and a bounded number of attempts, none
// of them in a review, and what is lost is counted.
//
// The SDK (github.com/cloudevents/sdk-go) is not used to send: its client reads
// answers of any size, follows redirects, and brings a second logger. Tests read with
// it what is sent here.
package cloudevents
