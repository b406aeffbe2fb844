"""Results as text, tables and charts. No arithmetic about chips here, nothing prints, nothing heavy imported early."""
