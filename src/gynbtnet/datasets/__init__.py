"""What a cohort is: patients, their fractions, cases; the manifest on disk; splits by patient; adapters that ingest."""
