"""What all training loops share: saved states, going on from them, signals, too little memory."""
