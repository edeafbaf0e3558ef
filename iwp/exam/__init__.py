"""The exam as a command: who takes part, the ledger of answers, statistics, tables and plots."""
