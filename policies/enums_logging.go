package policies

// LogFormat says whether mutate.logging may change text to JSON.
//
// +kubebuilder:validation:Enum=Structured;Unchanged
type LogFormat string

// The log formats.
const (
	// LogFormatStructured sets the variables that make a runtime write JSON.
	LogFormatStructured LogFormat = "Structured"
	// LogFormatUnchanged leaves them out.
	LogFormatUnchanged LogFormat = "Unchanged"
)

// LogFormats returns every log format.
func LogFormats() []LogFormat { return []LogFormat{LogFormatStructured, LogFormatUnchanged} }

// EnvFromAction says what mutate.logging does to containers with envFrom.
//
// +kubebuilder:validation:Enum=Skip;Add
type EnvFromAction string

// What can be done to containers with envFrom.
const (
	// EnvFromSkip gives them no variable.
	EnvFromSkip EnvFromAction = "Skip"
	// EnvFromAdd gives them the variables that their env does not set.
	EnvFromAdd EnvFromAction = "Add"
)

// EnvFromActions returns everything that can be done to containers with envFrom.
func EnvFromActions() []EnvFromAction { return []EnvFromAction{EnvFromSkip, EnvFromAdd} }

// TerminationMessages says what mutate.logging does about terminationMessagePolicy.
//
// +kubebuilder:validation:Enum=FallbackToLogsOnError;Unchanged
type TerminationMessages string

// What can be done about terminationMessagePolicy.
const (
	// TerminationMessagesFromLogs sets it to FallbackToLogsOnError.
	TerminationMessagesFromLogs TerminationMessages = "FallbackToLogsOnError"
	// TerminationMessagesUnchanged leaves it alone.
	TerminationMessagesUnchanged TerminationMessages = "Unchanged"
)

// AllTerminationMessages returns everything that can be done about terminationMessagePolicy.
func AllTerminationMessages() []TerminationMessages {
	return []TerminationMessages{TerminationMessagesFromLogs, TerminationMessagesUnchanged}
}

// LogCollector is a log collector that reads annotations of Pods about the content of their logs.
//
// +kubebuilder:validation:Enum=FluentBit;Datadog;Elastic
type LogCollector string

// The collectors. Others have annotations too, but none about what a container writes.
const (
	// LogCollectorFluentBit is told the parser.
	LogCollectorFluentBit LogCollector = "FluentBit"
	// LogCollectorDatadog is told the source.
	LogCollectorDatadog LogCollector = "Datadog"
	// LogCollectorElastic is told to decode JSON.
	LogCollectorElastic LogCollector = "Elastic"
)

// LogCollectors returns every collector.
func LogCollectors() []LogCollector {
	return []LogCollector{LogCollectorFluentBit, LogCollectorDatadog, LogCollectorElastic}
}

// LoggingCheck is something of mutate.logging that validate.logging can require.
//
// +kubebuilder:validation:Enum=environment;terminationMessagePolicy
type LoggingCheck string

// What validate.logging can require.
const (
	// LoggingEnvironment requires the variables of the container's runtime.
	LoggingEnvironment LoggingCheck = "environment"
	// LoggingTerminationMessagePolicy requires FallbackToLogsOnError.
	LoggingTerminationMessagePolicy LoggingCheck = "terminationMessagePolicy"
)

// LoggingChecks returns everything that validate.logging can require.
func LoggingChecks() []LoggingCheck {
	return []LoggingCheck{LoggingEnvironment, LoggingTerminationMessagePolicy}
}
