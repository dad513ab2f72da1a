mod dashboard;
