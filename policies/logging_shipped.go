package policies

import "slices"

// ShippedRuntime is an entry of the catalog that Portcullis ships.
//
// +kubebuilder:object:generate=false
type ShippedRuntime struct {
	LoggingRuntime
	// Source is where the makers of the runtime say what its variables do.
	Source string
	// Why says what a log collector gains, as one sentence.
	Why string
	// DatadogSource is the source under which Datadog knows the runtime's logs
	// (https://docs.datadoghq.com/logs/log_collection/), empty where it knows none.
	DatadogSource string
}

// ShippedRuntimes is the catalog that Portcullis ships. An entry is here if its makers document that the variables do what is said of them,
// and that they do nothing else: the programs that do not know them pass over them.
//
// What decides the same thing is listed in Unless, so that nobody's choice is overruled by another name.
func ShippedRuntimes() []ShippedRuntime {
	return slices.Concat(shippedLanguages(), shippedFrameworks(), shippedServers(), shippedGateways())
}

// noColor is the convention of https://no-color.org. Node.js warns where FORCE_COLOR is set beside it.
func noColor(unless ...string) RuntimeVariable {
	return RuntimeVariable{Name: "NO_COLOR", Value: "1", Unless: append([]string{"FORCE_COLOR", "CLICOLOR_FORCE"}, unless...)}
}

// shippedLanguages are recognised by the ENV of the official images, which the images that are built from them inherit.
func shippedLanguages() []ShippedRuntime {
	return []ShippedRuntime{
		{
			LoggingRuntime: LoggingRuntime{
				Name:     "python",
				Images:   []string{"docker.io/library/python", "gcr.io/distroless/python3*"},
				ImageEnv: []string{"PYTHON_VERSION"},
				Env:      []RuntimeVariable{{Name: "PYTHONUNBUFFERED", Value: "1"}, noColor("PYTHON_COLORS")},
			},
			Source:        "https://docs.python.org/3/using/cmdline.html#envvar-PYTHONUNBUFFERED",
			Why:           "Output that is no terminal is held back in blocks, and what a crash leaves in one is lost.",
			DatadogSource: "python",
		}, {
			LoggingRuntime: LoggingRuntime{
				Name:     "node",
				Images:   []string{"docker.io/library/node", "gcr.io/distroless/nodejs*"},
				ImageEnv: []string{"NODE_VERSION"},
				Env:      []RuntimeVariable{noColor("NODE_DISABLE_COLORS")},
			},
			Source:        "https://nodejs.org/api/cli.html#no_colorany",
			Why:           "Escape sequences for colours in a log get in the way of searching and parsing.",
			DatadogSource: "nodejs",
		}, {
			LoggingRuntime: LoggingRuntime{
				Name:     "deno",
				Images:   []string{"docker.io/denoland/deno"},
				ImageEnv: []string{"DENO_VERSION"},
				Env:      []RuntimeVariable{noColor()},
			},
			Source: "https://docs.deno.com/api/deno/~/Deno.noColor",
			Why:    "Escape sequences for colours in a log get in the way of searching and parsing.",
		},
	}
}

// shippedFrameworks are recognised by the ENV of the images that they are made for.
func shippedFrameworks() []ShippedRuntime {
	return []ShippedRuntime{
		{
			LoggingRuntime: LoggingRuntime{
				Name:     "rails",
				Images:   []string{"docker.io/library/ruby"},
				ImageEnv: []string{"RUBY_VERSION", "RAILS_ENV"},
				Env:      []RuntimeVariable{{Name: "RAILS_LOG_TO_STDOUT", Value: "1"}},
			},
			Source:        "https://github.com/rails/rails/blob/v7.0.8/railties/lib/rails/generators/rails/app/templates/config/environments/production.rb.tt",
			Why:           "Applications made by Rails 5.0 to 7.0 log into log/production.log unless the variable is set; other Ruby programs do not read it.",
			DatadogSource: "ruby",
		}, {
			LoggingRuntime: LoggingRuntime{
				Name:     "dotnet",
				Images:   []string{"mcr.microsoft.com/dotnet/aspnet", "mcr.microsoft.com/dotnet/runtime"},
				ImageEnv: []string{"DOTNET_VERSION", "ASPNET_VERSION", "DOTNET_RUNNING_IN_CONTAINER=true"},
				Env: []RuntimeVariable{{
					Name: "Logging__Console__FormatterName", Value: "json", Structured: true,
					Unless: []string{"Logging__Console__*", "DOTNET_Logging__Console__*", "ASPNETCORE_Logging__Console__*"},
				}},
			},
			Source:        "https://learn.microsoft.com/dotnet/core/extensions/console-log-formatter",
			Why:           "The console logger spreads one event over several lines, which a collector takes for several events.",
			DatadogSource: "csharp",
		}, {
			LoggingRuntime: LoggingRuntime{
				Name:     "spring-boot",
				ImageEnv: []string{"SPRING_*"},
				Env: []RuntimeVariable{{
					Name: "LOGGING_STRUCTURED_FORMAT_CONSOLE", Value: "ecs", Structured: true,
					Unless: []string{"LOGGING_STRUCTURED_*", "LOGGING_CONFIG", "LOGGING_PATTERN_*", "CONSOLE_LOG_*", "SPRING_APPLICATION_JSON"},
				}},
			},
			Source:        "https://docs.spring.io/spring-boot/reference/features/logging.html#features.logging.structured",
			Why:           "From Spring Boot 3.4 on an event with its stack trace becomes one line; earlier ones do not read the variable.",
			DatadogSource: "java",
		}, {
			LoggingRuntime: LoggingRuntime{
				Name:     "laravel",
				ImageEnv: []string{"LARAVEL_*", "AUTORUN_LARAVEL_*"},
				Env:      []RuntimeVariable{{Name: "LOG_CHANNEL", Value: "stderr", Unless: []string{"LOG_STACK"}}},
			},
			Source:        "https://laravel.com/docs/logging",
			Why:           "Laravel logs into storage/logs/laravel.log unless another channel is chosen.",
			DatadogSource: "php",
		},
	}
}

// shippedServers are programs that come in an image of their own.
func shippedServers() []ShippedRuntime {
	return []ShippedRuntime{
		{
			LoggingRuntime: LoggingRuntime{
				Name:     "keycloak",
				Images:   []string{"quay.io/keycloak/keycloak"},
				ImageEnv: []string{"KC_RUN_IN_CONTAINER=true"},
				Env: []RuntimeVariable{{
					Name: "KC_LOG_CONSOLE_OUTPUT", Value: "json", Structured: true,
					Unless: []string{"KC_LOG", "KC_LOG_CONSOLE_*"},
				}},
			},
			Source: "https://www.keycloak.org/server/logging/console",
			Why:    "An event with its stack trace becomes one line.",
		}, {
			LoggingRuntime: LoggingRuntime{
				Name:     "grafana",
				Images:   []string{"docker.io/grafana/grafana", "docker.io/grafana/grafana-oss", "docker.io/grafana/grafana-enterprise"},
				ImageEnv: []string{"GF_PATHS_HOME"},
				Env:      []RuntimeVariable{{Name: "GF_LOG_CONSOLE_FORMAT", Value: "json", Structured: true}},
			},
			Source: "https://grafana.com/docs/grafana/latest/setup-grafana/configure-grafana/#logconsole",
			Why:    "Fields of an event can be searched without a parser for its text.",
		}, {
			LoggingRuntime: LoggingRuntime{
				Name:   "vault",
				Images: []string{"docker.io/hashicorp/vault", "docker.io/library/vault"},
				Env:    []RuntimeVariable{{Name: "VAULT_LOG_FORMAT", Value: "json", Structured: true}},
			},
			Source: "https://developer.hashicorp.com/vault/docs/commands/server",
			Why:    "Fields of an event can be searched without a parser for its text.",
		}, {
			LoggingRuntime: LoggingRuntime{
				Name:   "registry",
				Images: []string{"docker.io/library/registry"},
				Env:    []RuntimeVariable{{Name: "REGISTRY_LOG_FORMATTER", Value: "json", Structured: true}},
			},
			Source: "https://distribution.github.io/distribution/about/configuration/#log",
			Why:    "Fields of an event can be searched without a parser for its text.",
		}, {
			LoggingRuntime: LoggingRuntime{
				Name:     "sonarqube",
				Images:   []string{"docker.io/library/sonarqube"},
				ImageEnv: []string{"SONARQUBE_HOME"},
				Env:      []RuntimeVariable{{Name: "SONAR_LOG_JSONOUTPUT", Value: "true", Structured: true}},
			},
			Source: "https://docs.sonarsource.com/sonarqube-community-build/instance-administration/system-functions/server-logs-and-system-info",
			Why:    "An event with its stack trace becomes one line.",
		},
	}
}

// shippedGateways write logs of access beside their own.
func shippedGateways() []ShippedRuntime {
	return []ShippedRuntime{
		{
			LoggingRuntime: LoggingRuntime{
				Name:     "kong",
				Images:   []string{"docker.io/library/kong", "docker.io/kong/kong", "docker.io/kong/kong-gateway"},
				ImageEnv: []string{"KONG_VERSION"},
				Env: []RuntimeVariable{
					{Name: "KONG_PROXY_ACCESS_LOG", Value: "/dev/stdout"},
					{Name: "KONG_ADMIN_ACCESS_LOG", Value: "/dev/stdout"},
					{Name: "KONG_PROXY_ERROR_LOG", Value: "/dev/stderr"},
					{Name: "KONG_ADMIN_ERROR_LOG", Value: "/dev/stderr"},
				},
			},
			Source: "https://developer.konghq.com/gateway/configuration/",
			Why:    "Kong logs into files below its prefix unless it is told another path.",
		},
	}
}
