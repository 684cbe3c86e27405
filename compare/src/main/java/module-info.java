// SPDX-License-Identifier: Apache-2.0
/** QEMU's own virtio-iommu beside ours: the command {@code ioasis compare}. */
module org.ioasis.compare {
    requires static transitive org.jspecify;
    requires transitive org.ioasis.app;
    requires com.fasterxml.jackson.core;
    requires info.picocli;

    exports org.ioasis.compare;

    opens org.ioasis.compare to
            info.picocli;

    provides org.ioasis.cli.Subcommand with
            org.ioasis.compare.CompareCommand;
}
