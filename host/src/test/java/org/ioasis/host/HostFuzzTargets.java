// SPDX-License-Identifier: Apache-2.0
package org.ioasis.host;

import java.util.Locale;
import java.util.function.Consumer;
import org.ioasis.amd.AmdFuzz;
import org.ioasis.iommufd.nesting.VirtioFuzz;
import org.ioasis.smmuv3.Smmuv3Fuzz;
import org.ioasis.vtd.VtdFuzz;

/**
 * What a fuzzer calls: any bytes become what a guest with tables of its own writes. Any thread.
 * Public for Jazzer ({@code tools/fuzz.sh}), of which nothing else is known here.
 */
public final class HostFuzzTargets {
    /** A target. */
    enum Target {
        SMMUV3_COMMANDS(Smmuv3Fuzz::commands),
        SMMUV3_QUEUE(Smmuv3Fuzz::queue),
        SMMUV3_CONTEXTS(Smmuv3Fuzz::contexts),
        VTD_ENTRIES(VtdFuzz::entries),
        VTD_QUEUE(VtdFuzz::queue),
        VTD_CONTEXTS(VtdFuzz::contexts),
        AMD_COMMANDS(AmdFuzz::commands),
        AMD_CONTEXTS(AmdFuzz::contexts),
        VIRTIO_INVALIDATIONS(VirtioFuzz::run);

        private final Consumer<FuzzInput> run;

        Target(Consumer<FuzzInput> run) {
            this.run = run;
        }

        /** Its name for people, and that of the list of its inputs. */
        String id() {
            return name().toLowerCase(Locale.ROOT).replace('_', '-');
        }

        void run(byte[] bytes) {
            run.accept(new FuzzInput(bytes));
        }
    }

    private HostFuzzTargets() {}

    /** One run of the target that the system property {@code ioasis.fuzz.target} names. */
    public static void fuzzerTestOneInput(byte[] bytes) {
        String id = System.getProperty("ioasis.fuzz.target", "");
        for (Target target : Target.values()) {
            if (target.id().equals(id)) {
                target.run(bytes);
                return;
            }
        }
        throw new IllegalArgumentException("no fuzz target " + id);
    }
}
