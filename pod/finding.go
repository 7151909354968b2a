package pod

// Finding is what a rule says about one field of a workload.
type Finding struct {
	// Rule is the key of the policy section: podSecurity.
	Rule string
	// Check is the control inside the rule, for podSecurity the id that upstream
	// gives it: capabilities_restricted. Empty where a rule has just one.
	Check string
	// Container is the container it is about, empty for the pod.
	Container string
	// Path is the field that has, or lacks, the value.
	Path Path
	// Value is the offending value, nil where the field is not set.
	Value any
	// Whole marks a finding about a part of the object that is too much to quote: a
	// list or an object.
	Whole bool
	// Message says why the value is wrong, without a full stop: forbidden by Pod
	// Security restricted:latest (privileged).
	Message string
	// Fix says what to write instead, as an imperative: set it to false.
	Fix string
	// Edit is the fix as a change of the object, after which the check passes. Nil
	// where there is none that is right for sure, and somebody has to choose.
	Edit *Edit
	// NoAnswer marks a finding that stands for an answer which a registry did not
	// give. What it leads to is the policy's onRegistryError.
	NoAnswer bool
	// Advisory marks a finding that never denies.
	Advisory bool
	// Unknown marks a finding that may not hold: it stands for what could not be
	// found out. On an update it says nothing about what was there before.
	Unknown bool
	// Before marks a finding of a mutator that was there before the update.
	Before bool
	// Inheritors are the containers that a finding about the pod is about, nil
	// where it is not about containers.
	Inheritors []string
}
