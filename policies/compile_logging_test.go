package policies

import "strings"

const (
	comparesNames = "the names of the shipped catalog are not in the CRD"
	envNameAdvice = "is not the name of a variable; use at most 253 letters, digits and - _ . (no digit first)"
	envFormAdvice = "in at most 253 letters, digits and - _ . (no digit first)"
)

func loggingSpec(settings string) string { return `{mutate: {logging: {` + settings + `}}}` }

// catalogSpec is a policy with one entry of a catalog.
func catalogSpec(entry string) string { return loggingSpec(`catalog: [{` + entry + `}]`) }

func loggingCases() []validationCase {
	const at = "spec.mutate.logging"
	return []validationCase{
		{name: "logging", spec: loggingSpec(``)},
		{name: "logging, all fields", spec: loggingSpec(`mode: Warn, owners: [a.io/B], skipAnnotation: Honor, defaultCatalog: Exclude, runtimes: [a],
			catalog: [{name: a, images: ["a.io/**"], imageEnv: [A, "B_*", "C=d*", "_E.f-g="], env: [{name: A.b-c_D, value: "", unless: [B, "C*"], structured: true}]}],
			format: Unchanged, env: [{name: LOG_LEVEL, value: info}], envFrom: Add, terminationMessagePolicy: Unchanged, collector: Datadog`)},
		{name: "logging, shipped runtimes", spec: loggingSpec(`runtimes: [python, rails]`)},
		{name: "logging, a shipped name", spec: loggingSpec(`runtimes: [python], catalog: [{name: python, images: [a.io/b], env: [{name: A, value: b}]}]`)},
		{name: "logging, the messages alone", spec: loggingSpec(`defaultCatalog: Exclude`)},
		{
			name: "logging, bad words", spec: loggingSpec(`mode: "on", defaultCatalog: "yes", format: json, envFrom: Ignore, terminationMessagePolicy: File, collector: Vector`),
			want: []string{
				at + `.mode: "on" is not a mode; use Enforce, Warn or Audit`,
				at + `.envFrom: "Ignore" is not an action; use Skip or Add`,
				at + `.terminationMessagePolicy: "File" is not a policy; use FallbackToLogsOnError or Unchanged`,
				at + `.collector: "Vector" is not a collector that reads annotations about the content of logs; use FluentBit, Datadog or Elastic`,
				at + `.defaultCatalog: "yes" is not a use of a catalog; use Include or Exclude`,
				at + `.format: "json" is not a format; use Structured or Unchanged`,
			},
		},
		{
			name: "logging that does nothing", spec: loggingSpec(`defaultCatalog: Exclude, terminationMessagePolicy: Unchanged, collector: Elastic`),
			want: []string{at + `: changes nothing; set defaultCatalog to Include, or give catalog, env or a terminationMessagePolicy`},
		},
		{
			name: "runtimes of no catalog", spec: loggingSpec(`defaultCatalog: Exclude, runtimes: [python]`),
			want: []string{at + `.runtimes[0]: "python" is in no catalog; there is none, set defaultCatalog to Include`},
		},
		{
			name: "runtimes of another catalog", spec: loggingSpec(`defaultCatalog: Exclude, runtimes: [b, python], catalog: [{name: a, images: [a.io/b], env: [{name: A, value: b}]}, {name: b, images: [a.io/b], env: [{name: A, value: b}]}]`),
			want: []string{at + `.runtimes[1]: "python" is in no catalog; use a or b`},
		},
		{
			name: "a runtime that is not shipped", spec: loggingSpec(`runtimes: [perl]`), inGoOnly: comparesNames,
			want: []string{at + `.runtimes[0]: "perl" is in no catalog; use python, node, deno, rails, dotnet, spring-boot, laravel, keycloak, grafana, vault, registry, sonarqube or kong`},
		},
		{name: "no runtimes", spec: loggingSpec(`runtimes: []`), want: []string{at + `.runtimes: is empty; name runtimes, or leave it out for all of them`}},
		{name: "a runtime twice", spec: loggingSpec(`runtimes: [node, node]`), want: []string{at + `.runtimes[1]: "node" is listed twice`}},
		{name: "too many runtimes", spec: loggingSpec(`runtimes: [` + numbered("a", 129) + `]`), want: []string{at + `.runtimes: has 129 entries; 128 is the limit`}},
	}
}

func loggingCatalogCases() []validationCase {
	const at = "spec.mutate.logging.catalog"
	const env = `env: [{name: A, value: b}]`
	return []validationCase{
		{
			name: "catalog entry without a name", spec: catalogSpec(`name: "", images: [a.io/b], ` + env),
			want: []string{at + `[0].name: "" is not a name; use at most 63 lower-case letters, digits and - (not first or last)`},
		},
		{
			name: "catalog entry with a bad name", spec: catalogSpec(`name: Our_App, images: [a.io/b], ` + env),
			want: []string{at + `[0].name: "Our_App" is not a name; use at most 63 lower-case letters, digits and - (not first or last)`},
		},
		{
			name: "catalog name twice", spec: loggingSpec(`catalog: [{name: a, images: [a.io/b], ` + env + `}, {name: a, images: [a.io/c], ` + env + `}]`),
			want: []string{at + `[1].name: "a" is the name of an entry before it`},
		},
		{
			name: "catalog entry for no image", spec: catalogSpec(`name: a, images: [], imageEnv: [], ` + env),
			want: []string{at + `[0]: no image can match; name some by images, imageEnv or both`},
		},
		{
			name: "catalog entry with bad images", spec: catalogSpec(`name: a, images: ["a.io/b@c", "a.io/b c"], ` + env),
			want: []string{
				at + `[0].images[0]: "a.io/b@c" carries a tag or a digest; write "a.io/b", which stands for all of them`,
				at + `[0].images[1]: "a.io/b c" can match nothing: the parts of a name are lower-case letters, digits, and . _ - between them`,
			},
		},
		{
			name: "catalog entry with bad imageEnv", spec: catalogSpec(`name: a, imageEnv: ["", "1A", "*", "A*B", "A B", B, B], ` + env),
			want: []string{
				at + `[0].imageEnv[0]: "" names no variable; write NAME, NAME* or NAME=VALUE, ` + envFormAdvice,
				at + `[0].imageEnv[1]: "1A" names no variable; write NAME, NAME* or NAME=VALUE, ` + envFormAdvice,
				at + `[0].imageEnv[2]: "*" names no variable; write NAME, NAME* or NAME=VALUE, ` + envFormAdvice,
				at + `[0].imageEnv[3]: "A*B" names no variable; write NAME, NAME* or NAME=VALUE, ` + envFormAdvice,
				at + `[0].imageEnv[4]: "A B" names no variable; write NAME, NAME* or NAME=VALUE, ` + envFormAdvice,
				at + `[0].imageEnv[6]: "B" is listed twice`,
			},
		},
		{
			name: "catalog entry without variables", spec: catalogSpec(`name: a, images: [a.io/b], env: []`),
			want: []string{at + `[0].env: is empty; name the variables that make it log to its standard output`},
		},
		{
			name: "catalog entry with bad variables", spec: catalogSpec(`name: a, images: [a.io/b], env: [{name: 1A, value: b}, {name: A=b, value: c}, {name: B, value: c, unless: ["C=d", "*"]}]`),
			want: []string{
				at + `[0].env[0].name: "1A" ` + envNameAdvice,
				at + `[0].env[1].name: "A=b" ` + envNameAdvice,
				at + `[0].env[2].unless[0]: "C=d" names no variable; write NAME or NAME*, ` + envFormAdvice,
				at + `[0].env[2].unless[1]: "*" names no variable; write NAME or NAME*, ` + envFormAdvice,
			},
		},
		{
			name: "catalog variable twice", spec: catalogSpec(`name: a, images: [a.io/b], env: [{name: A, value: b}, {name: A, value: c}]`),
			want: []string{at + `[0].env[1].name: "A" is set twice`},
		},
		{
			name: "a long value", spec: catalogSpec(`name: a, images: [a.io/b], env: [{name: A, value: ` + strings.Repeat("ä", 1025) + `}]`),
			want: []string{at + `[0].env[0].value: has 1025 characters; 1024 is the limit`},
		},
		{name: "a value that is just short enough", spec: catalogSpec(`name: a, images: [a.io/b], env: [{name: A, value: ` + strings.Repeat("ä", 1024) + `}]`)},
		{
			name: "variables for every container", spec: loggingSpec(`env: [{name: "", value: a}, {name: B, value: c}, {name: B, value: d}]`),
			want: []string{`spec.mutate.logging.env[0].name: "" ` + envNameAdvice, `spec.mutate.logging.env[2].name: "B" is set twice`},
		},
	}
}

func loggingRequirementCases() []validationCase {
	const at = "spec.validate.logging"
	spec := func(settings string) string { return `{validate: {logging: {` + settings + `}}}` }
	return []validationCase{
		{name: "logging check", spec: spec(``)},
		{name: "logging check, all fields", spec: spec(`mode: Audit, require: [environment, terminationMessagePolicy]`)},
		{
			name: "logging check, bad words", spec: spec(`mode: Deny, require: [redirect]`),
			want: []string{
				at + `.mode: "Deny" is not a mode; use Enforce, Warn or Audit`,
				at + `.require[0]: "redirect" is not something to require; use environment or terminationMessagePolicy`,
			},
		},
		{name: "logging check twice", spec: spec(`require: [environment, environment]`), want: []string{at + `.require[1]: "environment" is listed twice`}},
		{
			name: "logging check, too many", spec: spec(`require: [environment, terminationMessagePolicy, environment]`),
			want: []string{at + `.require: has 3 entries; 2 is the limit`},
		},
	}
}
