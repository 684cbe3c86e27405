// SPDX-License-Identifier: Apache-2.0
package org.ioasis.peer;

import java.util.Locale;
import org.ioasis.vfiouser.VfioUserFuzz;
import org.ioasis.vhostuser.VhostUserFuzz;

/**
 * What a fuzzer calls: any bytes become what a peer sends. Any thread. Public for Jazzer ({@code
 * tools/fuzz.sh}), of which nothing else is known here.
 */
public final class ServerFuzzTargets {
    /** A target. */
    enum Target {
        VFIO_USER_COMMANDS,
        VFIO_USER_VERSIONS,
        VFIO_USER_ANSWERS,
        VHOST_USER_REQUESTS;

        /** Its name for people, and that of the list of its inputs. */
        String id() {
            return name().toLowerCase(Locale.ROOT).replace('_', '-');
        }

        void run(byte[] bytes) {
            switch (this) {
                case VFIO_USER_COMMANDS -> VfioUserFuzz.commands(bytes);
                case VFIO_USER_VERSIONS -> VfioUserFuzz.versions(bytes);
                case VFIO_USER_ANSWERS -> VfioUserFuzz.answers(bytes);
                case VHOST_USER_REQUESTS -> VhostUserFuzz.requests(bytes);
            }
        }
    }

    private ServerFuzzTargets() {}

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
