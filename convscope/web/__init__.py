"""The pages of the report and of the app."""
