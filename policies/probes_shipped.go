package policies

// ShippedProbe is an entry of the catalog that Portcullis ships. It counts only for a container that declares the port, since nothing else
// in a manifest tells that the image runs what it is known for, and where: the image of a database runs backups too.
//
// +kubebuilder:object:generate=false
type ShippedProbe struct {
	ProbeCatalogEntry
	// Port is the TCP port that the container has to declare.
	Port int32
	// UnlessArgs are beginnings of arguments that move what the probe asks for: a container with one is left to the other sources.
	UnlessArgs []string
	// Why says why this probe and no other is right, and Source is where that can be read.
	Why, Source string
}

// ShippedProbes are the entries, by the image's name. None restarts anything: no image tells when a restart helps, and one during the
// recovery of a database does harm. Each asks no more than a server answers without credentials, whatever its configuration.
func ShippedProbes() []ShippedProbe {
	const connects = "It listens once it serves; a question would need its protocol and credentials."
	return []ShippedProbe{
		listens(9042, connects, "https://github.com/docker-library/docs/blob/master/cassandra/content.md", official("cassandra")...),
		listens(8123, connects, "https://clickhouse.com/docs/interfaces/http", append(official("clickhouse"), "docker.io/clickhouse/clickhouse-server")...),
		listens(9200, "With security on, which is the default, it answers over TLS and wants credentials.",
			"https://www.elastic.co/guide/en/elasticsearch/reference/current/docker.html",
			append(official("elasticsearch"), "docker.elastic.co/elasticsearch/elasticsearch")...),
		listens(80, "Any path may answer 404 or 401; a connection tells that it serves.",
			"https://github.com/docker-library/docs/blob/master/httpd/content.md", official("httpd")...),
		listens(8080, "Every page may want a login, and --prefix moves them all.",
			"https://github.com/jenkinsci/docker/blob/master/README.md", "docker.io/jenkins/jenkins"),
		{
			ProbeCatalogEntry: ProbeCatalogEntry{
				Images: official("mariadb"),
				Readiness: shippedExec("/bin/sh", "-c", "if command -v healthcheck.sh >/dev/null; then exec healthcheck.sh --connect; fi; "+
					"exec mysqladmin --host=127.0.0.1 --protocol=tcp ping"),
			},
			Port: 3306,
			Why: "The image's own script asks over TCP, which the server of the first start does not listen to, and counts a refused login as an answer; " +
				"images older than the script have mysqladmin. A bare connection counts as a connection error, of which 100 block the node.",
			Source: "https://github.com/MariaDB/mariadb-docker/blob/master/healthcheck.sh",
		},
		listens(11211, connects, "https://github.com/docker-library/docs/blob/master/memcached/content.md", official("memcached")...),
		listens(27017, "The server of the first start listens on 127.0.0.1 alone; a command would need a shell that differs by version.",
			"https://github.com/docker-library/mongo/blob/master/docker-entrypoint.sh", official("mongo")...),
		{
			ProbeCatalogEntry: ProbeCatalogEntry{
				Images: official("mysql"), Readiness: shippedExec("mysqladmin", "--host=127.0.0.1", "--protocol=tcp", "ping"),
			},
			Port: 3306,
			Why: "ping succeeds although the login is refused, and asks over TCP, which the server of the first start does not listen to. " +
				"A bare connection counts as a connection error, of which 100 block the node.",
			Source: "https://dev.mysql.com/doc/refman/8.4/en/mysqladmin.html",
		},
		listens(4222, connects, "https://github.com/docker-library/docs/blob/master/nats/content.md", official("nats")...),
		listens(7687, connects, "https://neo4j.com/docs/operations-manual/current/configuration/ports/", official("neo4j")...),
		listens(80, "Any path may answer 404 or 401; a connection tells that it serves.",
			"https://github.com/docker-library/docs/blob/master/nginx/content.md", official("nginx")...),
		listens(8080, "As nginx, on the port that needs no root.",
			"https://github.com/nginx/docker-nginx-unprivileged/blob/main/README.md", "docker.io/nginxinc/nginx-unprivileged"),
		{
			ProbeCatalogEntry: ProbeCatalogEntry{
				Images: append(official("postgres"), "docker.io/pgvector/pgvector", "docker.io/postgis/postgis"),
				Readiness: shippedExec("/bin/sh", "-c",
					`exec pg_isready --quiet --host 127.0.0.1 --username "${POSTGRES_USER:-postgres}" --dbname postgres`),
			},
			Port: 5432,
			Why: "It needs no credentials, and fails while the server recovers. It asks over TCP, which the server of the first start does not listen to; " +
				"the names only keep the server's log quiet.",
			Source: "https://www.postgresql.org/docs/current/app-pg-isready.html",
		},
		{
			ProbeCatalogEntry: ProbeCatalogEntry{
				Images: []string{"docker.io/prom/alertmanager", "quay.io/prometheus/alertmanager"}, Readiness: shippedGet(9093, "/-/ready"),
			},
			Port: 9093, UnlessArgs: []string{"--web."},
			Why:    "Its own readiness, unless an argument moves it or asks for TLS.",
			Source: "https://prometheus.io/docs/alerting/latest/management_api/",
		},
		{
			ProbeCatalogEntry: ProbeCatalogEntry{
				Images: []string{"docker.io/prom/prometheus", "quay.io/prometheus/prometheus"}, Readiness: shippedGet(9090, "/-/ready"),
			},
			Port: 9090, UnlessArgs: []string{"--web.config.file", "--web.external-url", "--web.listen-address", "--web.route-prefix"},
			Why:    "Its own readiness, which waits for the log to be replayed, unless an argument moves it or asks for TLS.",
			Source: "https://prometheus.io/docs/prometheus/latest/management_api/",
		},
		listens(5672, "As its operator for Kubernetes does; rabbitmq-diagnostics starts an Erlang node each time.",
			"https://www.rabbitmq.com/docs/monitoring#health-checks", official("rabbitmq")...),
		listens(6379, "redis-cli ping exits with 0 while the data is loaded and fails where TLS is required.",
			"https://github.com/redis/redis/pull/8136", official("redis")...),
		listens(8080, "Which path answers depends on what is deployed.",
			"https://github.com/docker-library/docs/blob/master/tomcat/content.md", official("tomcat")...),
		listens(6379, "As redis.", "https://github.com/valkey-io/valkey-container", "docker.io/valkey/valkey"),
	}
}

// official are the places of an official image of Docker Hub: there, and in the two public mirrors that keep its bytes.
func official(name string) []string {
	return []string{"docker.io/library/" + name, "mirror.gcr.io/library/" + name, "public.ecr.aws/docker/library/" + name}
}

func listens(port int32, why, source string, images ...string) ShippedProbe {
	return ShippedProbe{
		ProbeCatalogEntry: ProbeCatalogEntry{Images: images, Readiness: shippedProbe(ProbeTemplate{TCPSocket: &TCPProbe{Port: port}})},
		Port:              port, Why: why, Source: source,
	}
}

func shippedExec(command ...string) *ProbeTemplate {
	return shippedProbe(ProbeTemplate{Exec: &ExecProbe{Command: command}, PeriodSeconds: 10, TimeoutSeconds: 5})
}

func shippedGet(port int32, path string) *ProbeTemplate {
	return shippedProbe(ProbeTemplate{HTTPGet: &HTTPProbe{Port: port, Path: path}})
}

// shippedProbe has the timing of all readiness probes that are derived.
func shippedProbe(t ProbeTemplate) *ProbeTemplate {
	if t.PeriodSeconds == 0 {
		t.PeriodSeconds, t.TimeoutSeconds = 5, 3
	}
	t.FailureThreshold = 3
	return &t
}
