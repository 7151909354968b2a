package policies

// ExpressionErrorAction says what an expression does that cannot be evaluated.
//
// +kubebuilder:validation:Enum=Deny;Warn
type ExpressionErrorAction string

// The expression error actions, strictest first.
const (
	// ExpressionErrorDeny counts the expression as false.
	ExpressionErrorDeny ExpressionErrorAction = "Deny"
	// ExpressionErrorWarn lets the workload pass and tells the user.
	ExpressionErrorWarn ExpressionErrorAction = "Warn"
)

// ExpressionErrorActions returns every expression error action, strictest first.
func ExpressionErrorActions() []ExpressionErrorAction {
	return []ExpressionErrorAction{ExpressionErrorDeny, ExpressionErrorWarn}
}
