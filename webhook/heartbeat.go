package webhook

import (
	"fmt"
	"os"

	"github.com/portcullis-dev/portcullis/presence"
)

// addHeartbeat has the replica note that it is there while all checks pass.
func (s *server) addHeartbeat(checks []check) error {
	if s.options.HeartbeatInterval == 0 {
		return nil
	}
	client, err := presence.Connect(s.options.Config)
	if err != nil {
		return err
	}
	host, err := os.Hostname()
	if err != nil {
		return fmt.Errorf("finding the name of this replica: %w", err)
	}
	return s.manager.Add(&presence.Heartbeat{
		Client: client, Lease: s.options.Heartbeat, Interval: s.options.HeartbeatInterval, Configuration: ConfigurationName,
		Identity: host, Log: s.options.Log, Policies: s.hashes,
		Ready: func() error {
			for _, c := range checks {
				if err := c.err(); err != nil {
					return fmt.Errorf("%s: %w", c.name, err)
				}
			}
			return nil
		},
	})
}

// hashes stand for what the policies in force say, by name.
func (s *server) hashes() map[string]string {
	all := map[string]string{}
	for _, p := range s.inForce().Policies() {
		all[p.Name] = p.Hash
	}
	return all
}
