package report

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/url"
	"path/filepath"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/owenrumney/go-sarif/v2/sarif"
)

// fingerprint is the key under which a result keeps its identity over changes
// that move lines. The digit is to be raised when the identity changes.
const fingerprint = "portcullisFinding/v1"

// writeSARIF writes findings and unreadable input as SARIF 2.1.0 results. What is
// exempt by an exception is one too, and suppressed. What passed or was skipped is none: GitHub code scanning makes an alert of every
// result, whatever its kind and level (microsoft/PSRule#955). What was skipped is
// a notification of the run instead. Every result has a location, since GitHub
// refuses the whole file for one that has none (github/codeql-action#2459).
func writeSARIF(w io.Writer, r *Report, o Options) error {
	document, err := sarif.New(sarif.Version210)
	if err != nil {
		return err
	}
	run := sarif.NewRunWithInformationURI("Portcullis", projectURL)
	run.ColumnKind = "unicodeCodePoints"
	run.Results = []*sarif.Result{} // null would say that nothing was looked at
	if o.Version != "" {
		run.Tool.Driver.WithVersion(plain(o.Version))
	}
	results := r.sorted()
	rules := map[string]uint{}
	for _, result := range results {
		if result.Result == Pass || result.Result == Skip && result.Exemption == nil {
			continue
		}
		id := plain(ruleID(result))
		index, known := rules[id]
		if !known {
			index = uint(len(rules))
			rules[id] = index
			run.Tool.Driver.Rules = append(run.Tool.Driver.Rules, sarifRule(id))
		}
		run.Results = append(run.Results, sarifResult(result, id, index))
	}
	run.Invocations = []*sarif.Invocation{sarifInvocation(r, skips(results), o)}
	document.AddRun(run)
	if err := document.PrettyWrite(w); err != nil {
		return err
	}
	_, err = io.WriteString(w, "\n")
	return err
}

func sarifRule(id string) *sarif.ReportingDescriptor {
	h := helpFor(id)
	rule := sarif.NewRule(id).
		WithName(sarifName(id)).
		WithShortDescription(sarif.NewMultiformatMessageString(h.short)).
		WithFullDescription(sarif.NewMultiformatMessageString(h.long))
	markdown := h.long
	if h.link != "" {
		markdown += "\n\n[More](" + h.link + ")"
		rule.WithHelpURI(h.link)
	}
	rule.WithHelp(sarif.NewMultiformatMessageString(h.long).WithMarkdown(markdown))
	tags := []string{"security", "kubernetes"}
	if h.category != "" {
		tags = append(tags, strings.ToLower(h.category))
	}
	rule.WithProperties(sarif.Properties{"tags": tags, "precision": "high", "problem.severity": "error"})
	return rule
}

// sarifName is the id in Pascal case, which is what viewers expect of a name:
// PodSecurityHostPorts.
func sarifName(id string) string {
	var b strings.Builder
	for _, part := range strings.FieldsFunc(id, func(r rune) bool { return r == '/' || r == '_' }) {
		first, size := utf8.DecodeRuneInString(part)
		b.WriteRune(unicode.ToUpper(first))
		b.WriteString(part[size:])
	}
	return b.String()
}

func sarifResult(r Result, id string, index uint) *sarif.Result {
	text := sentence(r)
	if r.Fix != "" {
		text += ". Fix: " + plain(r.Fix)
	}
	result := sarif.NewRuleResult(id).
		WithKind("fail").
		WithLevel(sarifLevel(r)).
		WithMessage(sarif.NewTextMessage(sarifText(text)))
	result.RuleIndex = &index
	result.AddLocation(sarifLocation(r))
	result.PartialFingerprints = map[string]any{fingerprint: identity(r)}
	properties := sarif.Properties{}
	for name, text := range map[string]string{"policy": r.Policy, "mode": r.Mode, "container": r.Container, "field": r.Field, "fix": r.Fix} {
		if text != "" {
			properties[name] = plain(text)
		}
	}
	result.Properties = properties
	if r.Exemption != nil {
		result.Suppressions = []*sarif.Suppression{suppression(r)}
	}
	return result
}

// suppression says that an exception covers a result. The library writes null for
// what is left out, which the schema forbids, so that nothing is.
func suppression(r Result) *sarif.Suppression {
	e := r.Exemption
	sum := sha256.Sum256([]byte(e.Exception + "\x00" + identity(r)))
	id := hex.EncodeToString(sum[:16])
	guid := strings.Join([]string{id[:8], id[8:12], "5" + id[13:16], "8" + id[17:20], id[20:]}, "-") // named, as in RFC 9562, 5.5; the schema knows no later version
	return sarif.NewSuppression("external").WithStatus("accepted").WithGuid(guid).WithLocation(sarifLocation(r)).
		WithJustifcation(sarifText(fmt.Sprintf("%s (exception %s, owner %s, until %s)", plain(e.Reason), plain(e.Exception), plain(e.Owner), plain(e.ExpiresAt))))
}

// sarifText keeps foreign text from becoming a link: viewers show [text](target)
// in a message as one (SARIF 2.1.0, 3.11.6).
func sarifText(s string) string { return strings.ReplaceAll(s, "](", "] (") }

func sarifLevel(r Result) string {
	switch gitHubLevel(r) {
	case "warning":
		return "warning"
	case "notice", "":
		return "note"
	}
	return "error"
}

func sarifLocation(r Result) *sarif.Location {
	physical := sarif.NewPhysicalLocation().WithArtifactLocation(sarif.NewArtifactLocation().WithUri(sarifURI(r)))
	if r.Line > 0 {
		region := sarif.NewRegion().WithStartLine(r.Line)
		if r.Column > 0 {
			region.WithStartColumn(r.Column)
		}
		physical.WithRegion(region)
	}
	location := sarif.NewLocationWithPhysicalLocation(physical)
	if name := object(r); name != "" {
		logical := sarif.NewLogicalLocation().WithName(plain(r.Name)).WithFullyQualifiedName(name).WithKind("resource")
		location.LogicalLocations = []*sarif.LogicalLocation{logical}
	}
	return location
}

// sarifURI is a source as a URI: relative to where the run was started, or of a
// file.
func sarifURI(r Result) string {
	path := source(r)
	if path != r.Source {
		return "stdin"
	}
	path = filepath.ToSlash(path)
	if strings.HasPrefix(path, "/") {
		return (&url.URL{Scheme: "file", Path: path}).String()
	}
	return (&url.URL{Path: path}).String()
}

func sarifInvocation(r *Report, reasons []skipped, o Options) *sarif.Invocation {
	successful := r.Summary.Error == 0
	invocation := &sarif.Invocation{ExecutionSuccessful: &successful}
	if !o.Time.IsZero() {
		end := o.Time.UTC()
		invocation.EndTimeUTC = &end
	}
	for _, s := range reasons {
		invocation.ToolExecutionNotifications = append(invocation.ToolExecutionNotifications, &sarif.Notification{
			Level:   "note",
			Message: sarif.NewTextMessage(sarifText(s.String())),
		})
	}
	return invocation
}

// index is a place in a list, which shifts when the list gets another element.
var index = regexp.MustCompile(`\[\d+\]`)

// identity is what makes two results of two runs the same: everything but place,
// value and wording.
func identity(r Result) string {
	parts := []string{r.Source, r.Kind, r.Namespace, r.Name, r.Policy, ruleID(r), r.Container, index.ReplaceAllString(r.Field, "[]")}
	if !r.finding() {
		parts = append(parts, r.Message) // all that tells unreadable documents apart
	}
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return hex.EncodeToString(sum[:16])
}
