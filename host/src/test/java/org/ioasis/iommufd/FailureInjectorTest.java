// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommufd;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import org.junit.jupiter.api.Test;

/** Failure that is asked for happens once, at the point that was asked for. */
class FailureInjectorTest {
    private final FailureInjector failures = new FailureInjector();

    @Test
    void nothingFailsUnlessAsked() {
        for (int i = 0; i < 3; i++) {
            assertThat(failures.fails()).isFalse();
        }
        assertThat(failures.passed()).isEqualTo(3);
        assertThat(failures.remaining()).isZero();
    }

    @Test
    void onlyTheNthPointFails() {
        failures.arm(2);

        assertThat(failures.fails()).isFalse();
        assertThat(failures.remaining()).isEqualTo(1);
        assertThat(failures.fails()).isTrue();
        assertThat(failures.remaining()).isZero();
        assertThat(failures.fails()).isFalse();
    }

    @Test
    void aFailedAllocationIsNoMemory() {
        failures.arm(1);

        assertThatThrownBy(failures::allocate)
                .isInstanceOfSatisfying(
                        IommufdException.class, e -> assertThat(e.errno()).isEqualTo(Errno.ENOMEM));
    }
}
