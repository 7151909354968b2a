package validate

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/portcullis-dev/portcullis/pod"
)

// shellLogs finds log files in what a container runs: output that a shell sends
// into one, and a tail that follows one.
func shellLogs(c pod.Container) []pod.Finding {
	if len(c.Command)+len(c.Args) == 0 {
		return nil
	}
	argv := slices.Concat(c.Command, c.Args)
	at := argument(c, 0)
	commands := []shellCommand{{words: argv}}
	script := shellScript(argv)
	if script >= 0 {
		at, commands = argument(c, script), shellCommands(argv[script])
	}
	var findings []pod.Finding
	var into, from string
	for _, command := range commands {
		if into == "" && script >= 0 {
			into = logTarget(command)
		}
		if from == "" {
			from = followed(command.words)
		}
	}
	if into != "" {
		findings = append(findings, pod.Finding{
			Rule: LoggingRule, Check: logRedirect, Container: c.Name, Path: at, Value: argv[script],
			Message: fmt.Sprintf("it writes into %q, which no log collector reads and nobody rotates", into),
			Fix:     "write to stdout, or to /dev/stdout where the program asks for a file",
		})
	}
	if from != "" {
		findings = append(findings, pod.Finding{
			Rule: LoggingRule, Check: logTailSidecar, Container: c.Name, Path: at, Value: strings.Join(argv, " "),
			Message: fmt.Sprintf("it turns the log file %q into a stream, so that every line is kept twice and the file grows", from),
			Fix:     "have the program that writes the file log to stdout, or link the file to /dev/stdout, and remove this one",
		})
	}
	return findings
}

// argument is the place of the i-th word of command and args together.
func argument(c pod.Container, i int) pod.Path {
	if i < len(c.Command) {
		return c.Path().Child("command").Index(i)
	}
	return c.Path().Child("args").Index(i - len(c.Command))
}

// shellScript is the index of the text that is given to a shell, below 0 where
// there is none. The shell may follow an entrypoint of the image.
func shellScript(argv []string) int {
	shell := slices.IndexFunc(argv, isShell)
	if shell < 0 {
		return -1
	}
	for i := shell + 1; i < len(argv)-1; i++ {
		option := argv[i]
		switch {
		case !strings.HasPrefix(option, "-") || strings.HasPrefix(option, "--"):
			return -1
		case strings.HasSuffix(option, "o"): // -o pipefail, -euo pipefail
			i++
		case strings.HasSuffix(option, "c"): // -c, -ec, -lc
			return i + 1
		}
	}
	return -1
}

func isShell(word string) bool {
	switch path.Base(word) {
	case "sh", "bash", "ash", "dash", "ksh", "zsh":
		return true
	}
	return false
}

// followed is the file whose end a tail prints for ever, empty if it is no log file
// or there is no tail. Following /dev/null is how a container is kept idle.
func followed(words []string) string {
	if words = bare(words); len(words) == 0 || path.Base(words[0]) != "tail" {
		return ""
	}
	follows := false
	for _, word := range words[1:] {
		switch {
		case strings.HasPrefix(word, "--"):
			follows = follows || strings.HasPrefix(word, "--follow")
		case strings.HasPrefix(word, "-") && word != "-":
			follows = follows || strings.ContainsAny(word, "fF")
		}
	}
	if !follows {
		return ""
	}
	for _, word := range words[1:] {
		if isLogFile(word) || strings.HasPrefix(word, "/") && !strings.HasPrefix(word, "/dev/") && !strings.HasPrefix(word, "/proc/") {
			return word
		}
	}
	return ""
}

// logTarget is the log file that a command writes into: by > or >>, or as an
// argument of tee.
func logTarget(command shellCommand) string {
	files := command.targets
	if words := bare(command.words); len(words) > 0 && path.Base(words[0]) == "tee" {
		files = slices.Concat(files, words[1:])
	}
	if i := slices.IndexFunc(files, isLogFile); i >= 0 {
		return files[i]
	}
	return ""
}

// isLogFile reports whether a file is one for logs by its name or its directory.
// Devices and the streams of a process, /dev/stdout and /proc/1/fd/1, are in no
// directory for logs.
func isLogFile(file string) bool {
	return strings.HasSuffix(strings.ToLower(file), ".log") || strings.Contains(file, "/") && isLogDirectory(path.Dir(file))
}

// bare is a command without the words that only start another one.
func bare(words []string) []string {
	for len(words) > 0 {
		switch path.Base(words[0]) {
		case "exec", "nohup", "busybox":
			words = words[1:]
		default:
			return words
		}
	}
	return nil
}
