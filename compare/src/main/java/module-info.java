// SPDX-License-Identifier: Apache-2.0
/**
 * QEMU's own IOMMUs beside ours: the commands {@code ioasis compare}, by qtest, and {@code ioasis
 * compare tables} and {@code ioasis bench guest}, in a guest.
 */
module org.ioasis.compare {
    requires static transitive org.jspecify;
    requires transitive org.ioasis.app;
    requires org.ioasis.host;
    requires com.fasterxml.jackson.core;
    requires info.picocli;

    exports org.ioasis.compare;

    opens org.ioasis.compare to
            info.picocli;
    opens org.ioasis.compare.guest to
            info.picocli;
    opens org.ioasis.compare.tables to
            info.picocli;

    provides org.ioasis.cli.Subcommand with
            org.ioasis.compare.CompareCommand,
            org.ioasis.compare.guest.BenchCommand;
}
