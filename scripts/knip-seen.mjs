// A knip reporter that says how many files knip looked at, so that a misconfigured, blind run is noticed.

export default ({ counters }) => process.stdout.write(`knip saw ${counters.processed} files\n`);
