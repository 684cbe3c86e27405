// SPDX-License-Identifier: Apache-2.0
package org.ioasis.host;

import static org.assertj.core.api.Assertions.assertThat;

import org.ioasis.iommufd.Errno;
import org.ioasis.iommufd.IommufdException;

/** What typed calls are refused with. Any thread. */
public final class Refusals {
    /** A call that should be refused. */
    @FunctionalInterface
    public interface Call {
        void run() throws IommufdException;
    }

    private Refusals() {}

    /** Why it is refused; fails if it is not. */
    public static Errno refusal(Call call) {
        return refused(call).errno();
    }

    /** Fails if the call is not refused, or for another reason. */
    public static void refuses(Errno errno, Call call) {
        IommufdException refused = refused(call);
        assertThat(refused.errno()).as(refused.rule()).isEqualTo(errno);
    }

    private static IommufdException refused(Call call) {
        try {
            call.run();
        } catch (IommufdException e) {
            return e;
        }
        throw new AssertionError("it was not refused");
    }
}
