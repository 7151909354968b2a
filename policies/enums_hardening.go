package policies

// HardeningField is a field that mutate.hardening can set.
//
// +kubebuilder:validation:Enum=allowPrivilegeEscalation;capabilities;seccompProfile;runAsNonRoot;runAsUser;automountServiceAccountToken;readOnlyRootFilesystem
type HardeningField string

// The fields. All but automountServiceAccountToken, which is the pod's, are set at
// each container.
const (
	// HardenPrivilegeEscalation sets allowPrivilegeEscalation to false.
	HardenPrivilegeEscalation HardeningField = "allowPrivilegeEscalation"
	// HardenCapabilities sets capabilities.drop to [ALL].
	HardenCapabilities HardeningField = "capabilities"
	// HardenSeccomp sets seccompProfile to {type: RuntimeDefault}.
	HardenSeccomp HardeningField = "seccompProfile"
	// HardenNonRoot sets runAsNonRoot to true.
	HardenNonRoot HardeningField = "runAsNonRoot"
	// HardenUser sets runAsUser to the number of the user whom the image names.
	HardenUser HardeningField = "runAsUser"
	// HardenToken sets automountServiceAccountToken to false.
	HardenToken HardeningField = "automountServiceAccountToken"
	// HardenRootFilesystem sets readOnlyRootFilesystem to true.
	HardenRootFilesystem HardeningField = "readOnlyRootFilesystem"
)

// HardeningFields returns every field, those that are set by default first.
func HardeningFields() []HardeningField {
	return append(defaultHardeningFields(), HardenToken, HardenRootFilesystem)
}

// defaultHardeningFields are those that level restricted asks for.
func defaultHardeningFields() []HardeningField {
	return []HardeningField{HardenPrivilegeEscalation, HardenCapabilities, HardenSeccomp, HardenNonRoot, HardenUser}
}
