// SPDX-License-Identifier: Apache-2.0
package org.ioasis.sys;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/**
 * What can be said of a TAP without making an interface; frames go through one in a network of
 * their own in module app.
 */
class TapDeviceTest {
    @AfterEach
    void letCallsThrough() {
        FailureInjection.disarm();
    }

    @ParameterizedTest
    @ValueSource(strings = {"", ".", "..", "a/b", "a:b", "a b", "tap%d", "sixteen-letters-", "é"})
    void nameThatNoInterfaceCanHaveIsRefusedBeforeAnyCall(String name) {
        FailureInjection.arm(1);
        assertThat(TapDevice.isName(name)).isFalse();
        assertThatThrownBy(() -> TapDevice.open(name)).isInstanceOf(IllegalArgumentException.class);
        assertThat(FailureInjection.disarm()).isFalse();
    }

    @ParameterizedTest
    @ValueSource(strings = {"t", "tap0", "vm-net.5_a", "fifteen-letters", "..."})
    void namesOfInterfacesAreKnown(String name) {
        assertThat(TapDevice.isName(name)).isTrue();
    }

    @Test
    void failedCallsAreErrors() {
        for (int n = 1; n <= 2; n++) {
            FailureInjection.arm(n);
            assertThatThrownBy(() -> TapDevice.open("ioasis-none"))
                    .isInstanceOf(ErrnoException.class);
        }
    }

    @Test
    void interfaceThatIsNoTapIsNotTaken() {
        // Every host has it, and nobody may take it.
        assertThatThrownBy(() -> TapDevice.open("lo")).isInstanceOf(ErrnoException.class);
    }
}
