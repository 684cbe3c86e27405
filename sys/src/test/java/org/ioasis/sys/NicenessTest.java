// SPDX-License-Identifier: Apache-2.0
package org.ioasis.sys;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.concurrent.CompletableFuture;
import org.junit.jupiter.api.Test;

class NicenessTest {
    private static int ofANewThread(int steps) {
        CompletableFuture<Integer> nice = new CompletableFuture<>();
        Thread.ofPlatform().start(() -> nice.complete(Niceness.change(steps)));
        return nice.join();
    }

    @Test
    void aThreadIsNicerAndItsProcessIsNot() {
        int before = Niceness.current();

        assertThat(ofANewThread(3)).isEqualTo(Math.min(before + 3, 19));
        assertThat(ofANewThread(100)).isEqualTo(19);
        assertThat(Niceness.current()).isEqualTo(before);
    }

    /** Root may; who else may is told by the limits of the process. */
    @Test
    void aThreadIsLessNiceIfItMayAndElseAsItWas() {
        int before = Niceness.current();

        assertThat(ofANewThread(-10)).isIn(Math.max(before - 10, -20), before);
        if (Capabilities.has(0, Capabilities.CAP_SYS_NICE)) {
            assertThat(ofANewThread(-10)).isEqualTo(Math.max(before - 10, -20));
        }
    }
}
