// Command prometheus says of expressions whether Prometheus would take them. Its
// standard input is a JSON list of them; each that has a mistake becomes a line.
//
// It is a module of its own: the dependencies of Prometheus are no business of the
// product. Its go.mod also says which release of the Prometheus operator has the CRDs
// that ServiceMonitor and PrometheusRule are held against.
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"

	_ "github.com/prometheus-operator/prometheus-operator/pkg/versionutil" // its module has the CRDs, as files
	"github.com/prometheus/prometheus/promql/parser"
)

func main() {
	if err := run(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "prometheus:", err)
		os.Exit(1)
	}
}

func run(in io.Reader, out io.Writer) error {
	var expressions []string
	if err := json.NewDecoder(in).Decode(&expressions); err != nil {
		return fmt.Errorf("reading a JSON list of expressions: %w", err)
	}
	for _, expression := range expressions {
		if _, err := parser.ParseExpr(expression); err != nil {
			if _, err := fmt.Fprintf(out, "%s: %v\n", expression, err); err != nil {
				return fmt.Errorf("writing what is wrong: %w", err)
			}
		}
	}
	return nil
}
