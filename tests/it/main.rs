mod curves;
mod report;
