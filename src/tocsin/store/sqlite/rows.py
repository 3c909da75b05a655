"""What stands in columns that only this database has."""

# "None", in as many bytes as a status code takes: a row that grew when it is settled would split the full page that it
# is on. Likewise an attempt's number, see `writer`.
NO_STATUS = -1_000
