"""What minds time, processes and signals: claiming, renewing, sweeping, stopping."""
